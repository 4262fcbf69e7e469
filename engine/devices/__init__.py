"""The cards that exist, and what this computer really has."""

from __future__ import annotations
