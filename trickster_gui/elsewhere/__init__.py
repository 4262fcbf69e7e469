"""Going on with a run that ended on another device, in another precision or by another trainer."""

from __future__ import annotations
