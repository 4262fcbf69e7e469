"""Training on Tenstorrent cards: kernels for engine.card_graph, and what drives them.

Nothing here needs torch: ttnn's interpreter need not have it.
"""

from __future__ import annotations
