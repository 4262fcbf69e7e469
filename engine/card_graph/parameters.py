"""The weights on the card, and the gradients that gather beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from engine.card_graph.constants import Precision
from engine.card_graph.kernels import Array
from engine.card_graph.layout import Placement, placements
from engine.card_graph.ops import Ops
from engine.card_graph.tensor import Tensor
from engine.spec import ModelSpec


class Parameters:
    """fp32 weights by their published names, and of each matrix a copy that is multiplied.

    A bf16 number next to 1 cannot move by less than 2⁻⁷, so what the optimizer updates is always
    fp32; ``matrix`` gives the rounded copy, ``vector`` the fp32 numbers themselves.
    """

    def __init__(
        self, spec: ModelSpec, ops: Ops, precision: Precision, weights: Mapping[str, Array]
    ) -> None:
        self.placements: Mapping[str, Placement] = placements(spec)
        self._ops, self._compute = ops, precision.compute
        self.masters: dict[str, Tensor] = {}
        self._copies: dict[str, Tensor] = {}
        self._check_names(weights)
        for name, place in self.placements.items():
            put = partial(ops.host.put, place, weights[name])
            self._hold(name, ops.make(place.stored, "fp32", put))

    def matrix(self, name: str) -> Tensor:
        """A matrix in the format that matrices are multiplied in."""
        return self._copies[name]

    def vector(self, name: str) -> Tensor:
        """A norm's scale or a bias, one row, fp32."""
        return self.masters[name]

    def __contains__(self, name: str) -> bool:
        return name in self.masters

    def replace(self, name: str, updated: Tensor) -> None:
        """Take over ``updated``, fp32, as the weight; free the former one."""
        self._ops.free(self.masters[name])
        if name in self._copies:
            self._ops.free(self._copies.pop(name))
        self._hold(name, updated)

    def placed(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """Weights by published name, ready for the card; ValueError for another model's."""
        self._check_names(weights)
        put = self._ops.host.put
        return {name: put(place, weights[name]) for name, place in self.placements.items()}

    def take(self, placed: Mapping[str, Array]) -> None:
        """Go on from ``placed``."""
        for name, array in placed.items():
            self.replace(name, self._ops.upload(array, "fp32"))

    def export(self) -> dict[str, Array]:
        """The weights by name, in their published shapes: fp32 from a card, 64 bits from numpy."""
        return {
            name: self._ops.host.take(place, self._ops.download(self.masters[name]))
            for name, place in self.placements.items()
        }

    def _check_names(self, weights: Mapping[str, Array]) -> None:
        if weights.keys() != self.placements.keys():
            strange = sorted(weights.keys() ^ self.placements.keys())
            raise ValueError(f"weights do not belong to this model: {strange[0]}")

    def _hold(self, name: str, master: Tensor) -> None:
        self.masters[name] = master
        if len(self.placements[name].shape) == 2:
            self._copies[name] = self._ops.cast(master, self._compute)


class Gradients:
    """fp32 gradients by name; what is added to one that is there already is summed up."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self.by_name: dict[str, Tensor] = {}

    def add(self, name: str, gradient: Tensor) -> None:
        """Take over ``gradient``."""
        before = self.by_name.get(name)
        if before is None:
            self.by_name[name] = gradient
            return
        self.by_name[name] = self._ops.add(before, gradient)
        self._ops.free(before, gradient)

    def clear(self) -> None:
        """Free all of them."""
        self._ops.free(*self.by_name.values())
        self.by_name.clear()
