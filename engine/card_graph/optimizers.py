"""The optimizers of engine.training.optimizer, in operations of a card, and the clip.

What changes from step to step (the learning rate, AdamW's corrections) is uploaded as a tensor of
one number, so that no version of ttnn has a reason to compile an operation anew for each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial

from engine.card_graph.kernels import Array
from engine.card_graph.layout import Placement
from engine.card_graph.ops import Ops
from engine.card_graph.parameters import Gradients, Parameters
from engine.card_graph.tensor import Tensor
from engine.run_spec import RunSpec

EPSILON = 1e-8
# Keeps the clip's division defined; the same number as in engine.training.update.
_CLIP_EPSILON = 1e-6


def clip(ops: Ops, gradients: Gradients, longest: float) -> Tensor:
    """Scale the gradient down to ``longest`` where it is longer (0: never); its true length.

    The factor min(1, longest / (length + ε)) is written longest / (longest + excess), with the
    excess max(length + ε - longest, 0), so that the card need not be asked.
    """
    total: Tensor | None = None
    for gradient in gradients.by_name.values():
        squares = ops.multiply(gradient, gradient)
        part = ops.total(squares)
        ops.free(squares)
        if total is None:
            total = part
        else:
            before, total = total, ops.add(total, part)
            ops.free(before, part)
    assert total is not None, "there is no gradient"
    length = ops.sqrt(total)
    ops.free(total)
    if longest > 0:
        beyond = ops.shift(length, _CLIP_EPSILON - longest)
        divisor = ops.shift(ops.bend("relu", beyond), longest)
        factor = ops.scale(ops.reciprocal(divisor), longest)
        for name, gradient in gradients.by_name.items():
            gradients.by_name[name] = ops.multiply(gradient, factor)
            ops.free(gradient)
    return length


class Optimizer(ABC):
    """Updates fp32 weights from fp32 gradients, which it frees one by one.

    ``state`` holds what it remembers, by "<kind>/<weight>" as checkpoints name it. ``steps``
    counts the updates.
    """

    kinds: tuple[str, ...] = ()

    def __init__(self, ops: Ops, parameters: Parameters, run: RunSpec) -> None:
        self._ops, self._parameters, self._run = ops, parameters, run
        self.steps = 0
        self.state: dict[str, Tensor] = {}
        for key in state_shapes(parameters.placements, run):
            stored = self._place(key).stored
            self.state[key] = ops.make(stored, "fp32", partial(ops.host.zeros, stored))

    def new_state(self) -> dict[str, Array]:
        """What is remembered before the first update."""
        zeros = self._ops.host.zeros
        return {key: zeros(self._place(key).shape) for key in self.state}

    def step(self, gradients: Gradients, rate: float) -> None:
        """One update with learning rate ``rate``."""
        numbers = self.begin(rate)
        for name in self._parameters.placements:
            self.update(name, gradients.by_name.pop(name), numbers)
        self._ops.free(*numbers.values())

    def begin(self, rate: float) -> dict[str, Tensor]:
        """Numbers that the update of every weight needs in this step, by name, on the card."""
        self.steps += 1
        return {name: self._number(value) for name, value in self._factors(rate).items()}

    def update(self, name: str, gradient: Tensor, numbers: Mapping[str, Tensor]) -> None:
        """Update one weight; frees ``gradient``."""
        place = self._parameters.placements[name]
        decays = len(place.shape) >= 2 and self._run.weight_decay > 0
        self._parameters.replace(name, self._updated(name, gradient, decays, numbers))

    def export(self) -> dict[str, Array]:
        """The state by "<kind>/<weight>", in the weights' published shapes, as ``Parameters``'."""
        return {
            key: self._ops.host.take(self._place(key), self._ops.download(tensor))
            for key, tensor in self.state.items()
        }

    def placed(self, state: Mapping[str, Array]) -> dict[str, Array]:
        """What ``export`` gave, ready for the card; ValueError for another run's."""
        if state.keys() != self.state.keys():
            strange = sorted(state.keys() ^ self.state.keys())
            raise ValueError(f"the state is not of this optimizer: {strange[0]}")
        put = self._ops.host.put
        return {key: put(self._place(key), array) for key, array in state.items()}

    def take(self, placed: Mapping[str, Array], steps: int) -> None:
        """Go on from ``placed``, the state after ``steps`` updates."""
        for key, array in placed.items():
            self._remember(key, self._ops.upload(array, "fp32"))
        self.steps = steps

    def _place(self, key: str) -> Placement:
        return self._parameters.placements[key.split("/", 1)[1]]

    def _factors(self, rate: float) -> dict[str, float]:
        """Numbers of this step, by name."""
        return {"rate": rate}

    @abstractmethod
    def _updated(
        self, name: str, gradient: Tensor, decays: bool, numbers: Mapping[str, Tensor]
    ) -> Tensor:
        """The weight after the update; frees ``gradient``."""

    def _remember(self, key: str, tensor: Tensor) -> None:
        self._ops.free(self.state[key])
        self.state[key] = tensor

    def _number(self, value: float) -> Tensor:
        shape = (1, 1, 1, 1)
        return self._ops.make(shape, "fp32", partial(self._ops.host.filled, shape, value))

    def _faded(self, before: Tensor, factor: float, added: Tensor) -> Tensor:
        """before · factor + added; frees ``added``."""
        kept = self._ops.scale(before, factor)
        total = self._ops.add(kept, added)
        self._ops.free(kept, added)
        return total


class AdamW(Optimizer):
    """Adam with decay that is decoupled from the gradient (Loshchilov and Hutter 2019)."""

    kinds = ("exp_avg", "exp_avg_sq")

    def _factors(self, rate: float) -> dict[str, float]:
        return {
            "kept": 1 - rate * self._run.weight_decay,
            "rate": rate / (1 - self._run.beta1**self.steps),
            "spread": 1 / (1 - self._run.beta2**self.steps),
        }

    def _updated(
        self, name: str, gradient: Tensor, decays: bool, numbers: Mapping[str, Tensor]
    ) -> Tensor:
        ops, beta1, beta2 = self._ops, self._run.beta1, self._run.beta2
        mean_key, square_key = f"exp_avg/{name}", f"exp_avg_sq/{name}"
        squares = ops.multiply(gradient, gradient)
        fresh = ops.scale(squares, 1 - beta2)
        ops.free(squares)
        self._remember(square_key, self._faded(self.state[square_key], beta2, fresh))
        fresh = ops.scale(gradient, 1 - beta1)
        ops.free(gradient)
        self._remember(mean_key, self._faded(self.state[mean_key], beta1, fresh))
        spread = self._spread(self.state[square_key], numbers["spread"])
        direction = ops.multiply(self.state[mean_key], spread)
        ops.free(spread)
        move = ops.multiply(direction, numbers["rate"])
        ops.free(direction)
        weight = self._parameters.masters[name]
        kept = ops.multiply(weight, numbers["kept"]) if decays else ops.share(weight)
        updated = ops.subtract(kept, move)
        ops.free(kept, move)
        return updated

    def _spread(self, squares: Tensor, correction: Tensor) -> Tensor:
        """1 / (√(squares · correction) + ε)."""
        ops = self._ops
        corrected = ops.multiply(squares, correction)
        root = ops.sqrt(corrected)
        ops.free(corrected)
        shifted = ops.shift(root, EPSILON)
        ops.free(root)
        inverse = ops.reciprocal(shifted)
        ops.free(shifted)
        return inverse


class SGD(Optimizer):
    """Plain gradient descent; the decay is added to the gradient."""

    def _updated(
        self, name: str, gradient: Tensor, decays: bool, numbers: Mapping[str, Tensor]
    ) -> Tensor:
        ops, weight = self._ops, self._parameters.masters[name]
        if decays:
            gradient = self._faded(weight, self._run.weight_decay, gradient)
        direction = self._direction(name, gradient)
        move = ops.multiply(direction, numbers["rate"])
        ops.free(direction)
        updated = ops.subtract(weight, move)
        ops.free(move)
        return updated

    def _direction(self, name: str, gradient: Tensor) -> Tensor:
        """Where to go; takes ``gradient`` over."""
        return gradient


class Momentum(SGD):
    """SGD along a running sum of gradients that fades by ``beta1`` a step (Polyak 1964)."""

    kinds = ("momentum_buffer",)

    def _direction(self, name: str, gradient: Tensor) -> Tensor:
        key = f"momentum_buffer/{name}"
        self._remember(key, self._faded(self.state[key], self._run.beta1, gradient))
        return self._ops.share(self.state[key])


_OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "sgd-momentum": Momentum, "sgd": SGD}


def state_shapes(places: Mapping[str, Placement], run: RunSpec) -> dict[str, tuple[int, ...]]:
    """The published shape of everything that the run's optimizer remembers."""
    kinds = _OPTIMIZERS[run.optimizer].kinds
    return {f"{kind}/{name}": place.shape for name, place in places.items() for kind in kinds}


def build_optimizer(ops: Ops, parameters: Parameters, run: RunSpec) -> Optimizer:
    """The run's optimizer."""
    return _OPTIMIZERS[run.optimizer](ops, parameters, run)
