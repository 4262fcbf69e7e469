"""What each family of models is made of: every weight by name, group, shape and copies."""

from __future__ import annotations
