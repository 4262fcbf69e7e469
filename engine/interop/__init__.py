"""Files of other tools: the only place that knows their words for our parameters."""

from __future__ import annotations
