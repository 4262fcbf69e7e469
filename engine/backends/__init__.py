"""What training needs to know of a kind of device. Each backend is imported only when used."""

from __future__ import annotations
