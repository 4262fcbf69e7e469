"""Training by tt-train's own models (ttml) in our own run directory. Not verified on hardware.

ttml is built from source together with tt-metal; it is imported only when a run asks for it.
"""

from __future__ import annotations
