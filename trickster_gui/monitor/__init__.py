"""The training monitor: what a run has said so far, drawn while it goes on."""

from __future__ import annotations
