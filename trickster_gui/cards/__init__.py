"""Tenstorrent cards in the window: whether they can train, and what is missing where they can't."""

from __future__ import annotations
