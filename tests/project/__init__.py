"""Tests of the project itself: how it is built, installed, linted and tested."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
