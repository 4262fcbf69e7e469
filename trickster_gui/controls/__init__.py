"""Small widgets that every panel shares: slider, switch, segments, text, icons, lists."""

from __future__ import annotations
