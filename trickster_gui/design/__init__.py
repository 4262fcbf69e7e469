"""The Design panel: every parameter of the model and of its training, as rows."""

from __future__ import annotations
