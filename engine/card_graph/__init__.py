"""The decoder as a card computes it: forward and backward in about 25 operations, written by hand.

ttnn has no automatic differentiation, so forward and backward pass are both written here, once,
against the operations of ``ops``. Those have three sets of kernels: numpy in 64 bits (proves the
mathematics without a card), shapes alone (counts memory), and ttnn. Arrays of the host come from
the kernels too, so nothing here needs numpy or torch: the accounting follows these very operations
when a slider moves, and ttnn's interpreter need not have torch.

Shape suffixes, after the letters of engine.models: N is B · T, all tokens of a batch one after
another; K key/value heads, G query heads of each (H = K · G). A tensor has four dimensions, of
which names give those that are not 1: ``x_ND`` is (1, 1, N, D). All sizes are those on the card,
where T, h, M and V are rounded up to whole tiles of 32 (engine.card_graph.layout says why that
changes no number).
"""

from __future__ import annotations
