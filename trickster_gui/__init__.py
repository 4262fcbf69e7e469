"""Trickster's window. It asks the engine and draws the answers."""

from __future__ import annotations
