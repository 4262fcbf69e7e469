"""Training on Tenstorrent cards: the decoder written out operation by operation, both ways.

ttnn has no automatic differentiation, so forward and backward pass are both written here by
hand, once, against the operations of ``ops``. Those have three sets of kernels: numpy in 64 bits
(proves the mathematics without a card), shapes alone (counts memory), and ttnn. Nothing here
needs torch: ttnn's interpreter need not have it.

Shape suffixes, after the letters of engine.models: N is B · T, all tokens of a batch one after
another; K key/value heads, G query heads of each (H = K · G). A tensor has four dimensions, of
which names give those that are not 1: ``x_ND`` is (1, 1, N, D). All sizes are those on the card,
where T, h, M and V are rounded up to whole tiles of 32 (engine.backends.tenstorrent.layout says
why that changes no number).
"""

from __future__ import annotations
