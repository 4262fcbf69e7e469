"""How the weights of a design lie on the card: sizes in whole tiles, and no number changed.

The card multiplies tiles of 32 × 32. Where a size is no multiple of 32 it is rounded up, and what
is added can never be told from outside:

- Feed-forward width M: rows of ``up`` and ``gate`` and columns of ``down`` are 0. All bends give
  0 for 0, so the added features are 0; their weights' gradients are products with those zeros
  (or with gradients that came through the zeros of ``down``), hence 0, and stay 0 in every update.
- Head size h: rows of q, k, v and columns of o are 0 for each head, by the same argument; scores
  are sums over features, so zeros add nothing, and they are scaled by the true h.
- Vocabulary V: rows of 0, and the added scores are masked before the softmax (tables.py): their
  probabilities, and so their gradients, are 0.
- Positions T: added tokens stand at the end, where the causal mask hides them from all others,
  and the loss gives them weight 0.

The width of the residual stream D is not rounded up: norms take their means over it. It must be a
multiple of 32 (engine.devices.card_rules).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.card_graph.tensor import Shape, whole_tiles
from engine.families.decoder import weights as decoder_weights
from engine.families.weight import expand
from engine.spec import ModelSpec

# A weight's outer dimensions taken apart: how many blocks, and how long each is and becomes.
Part = tuple[int, int, int]


@dataclass(frozen=True)
class Sizes:
    """Sizes on the card of a valid design (the letters of engine.models, in whole tiles)."""

    spec: ModelSpec

    @property
    def head(self) -> int:
        """h."""
        return whole_tiles(self.spec.head_size)

    @property
    def mlp(self) -> int:
        """M."""
        return whole_tiles(self.spec.mlp_dim)

    @property
    def vocabulary(self) -> int:
        """V."""
        return whole_tiles(self.spec.vocab_size)

    @property
    def positions(self) -> int:
        """Rows of the table of learned positions."""
        return whole_tiles(self.spec.max_seq_len)

    @property
    def group(self) -> int:
        """G, query heads that share a key/value head."""
        return self.spec.num_heads // self.spec.num_kv_heads


@dataclass(frozen=True)
class Placement:
    """Where a weight's numbers lie: its shape, and blocks of rows and of columns.

    A block (count, size, stored) says that rows come in ``count`` runs of ``size``, each followed
    by zeros up to ``stored``. A vector is one row.
    """

    shape: tuple[int, ...]
    rows: Part
    columns: Part

    @property
    def stored(self) -> Shape:
        """Shape on the card."""
        return (1, 1, self.rows[0] * self.rows[2], self.columns[0] * self.columns[2])


@lru_cache(maxsize=64)
def placements(spec: ModelSpec) -> Mapping[str, Placement]:
    """The placement of every weight of the model, by name, in the order of the forward pass."""
    parts = _Parts(spec)
    return {
        name: Placement(shape, *parts.of(name, shape))
        for name, shape in expand(decoder_weights(spec))
    }


class _Parts:
    def __init__(self, spec: ModelSpec) -> None:
        sizes, h = Sizes(spec), spec.head_size
        self.width = (1, spec.hidden_dim, spec.hidden_dim)
        self.mlp = (1, spec.mlp_dim, sizes.mlp)
        self.vocabulary = (1, spec.vocab_size, sizes.vocabulary)
        self.positions = (1, spec.max_seq_len, sizes.positions)
        self.heads = {
            "q_proj": (spec.num_heads, h, sizes.head),
            "k_proj": (spec.num_kv_heads, h, sizes.head),
            "v_proj": (spec.num_kv_heads, h, sizes.head),
        }
        self.joined = (spec.num_heads, h, sizes.head)

    def of(self, name: str, shape: tuple[int, ...]) -> tuple[Part, Part]:
        """Rows and columns; a vector is one row of what its matrix gives out."""
        layer = name.split(".")[-2]
        outputs, inputs = self._matrix(layer)
        return (outputs, inputs) if len(shape) == 2 else ((1, 1, 1), outputs)

    def _matrix(self, layer: str) -> tuple[Part, Part]:
        if layer in self.heads:
            return self.heads[layer], self.width
        known = {
            "embed_tokens": (self.vocabulary, self.width),
            "lm_head": (self.vocabulary, self.width),
            "embed_positions": (self.positions, self.width),
            "o_proj": (self.width, self.joined),
            "gate_proj": (self.mlp, self.width),
            "up_proj": (self.mlp, self.width),
            "down_proj": (self.width, self.mlp),
        }
        return known.get(layer, (self.width, (1, 1, 1)))  # the norms
