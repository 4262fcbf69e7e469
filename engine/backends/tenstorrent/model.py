"""A model on a card as a training loop drives it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from engine.backends.tenstorrent.decoder import Ids
from engine.backends.tenstorrent.kernels import Array
from engine.backends.tenstorrent.layout import placements
from engine.backends.tenstorrent.learner import Learner, Update
from engine.backends.tenstorrent.ops import Ops
from engine.backends.tenstorrent.optimizers import state_shapes
from engine.backends.tenstorrent.self_check import self_check
from engine.backends.tenstorrent.ttnn_kernels import opened
from engine.backends.tenstorrent.unsupported import unsupported
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

# Cards whose device number stands for two chips or more, of which one computes here.
_OF_SEVERAL_CHIPS = ("n300", "p300", "t3k", "galaxy")


class Model:
    """A model with its optimizer on a card that is open; made with ``open_model``.

    It has no weights before ``load``. ``device`` is the card's full name (n150:0), ``precision``
    what it computes in, ``notes`` what a person should know of how this run is computed.
    """

    def __init__(
        self, spec: ModelSpec, run: RunSpec, ops: Ops, versions: Mapping[str, str],
        resources: ExitStack,
    ) -> None:  # fmt: skip
        self.device, self.precision, self.versions = run.device, run.precision, versions
        several = run.device.lower().startswith(_OF_SEVERAL_CHIPS)
        self.notes = (f"{run.device} has several chips; one of them computes",) if several else ()
        self._spec, self._run, self._ops, self._resources = spec, run, ops, resources
        self._learner: Learner | None = None

    def step(self, batches: Sequence[tuple[Ids, Ids]], rate: float, seed: int) -> Update:
        """One update from the mean gradient of ``batches``; ``seed`` chooses what is random."""
        return self._loaded.update(batches, len(batches), rate, seed)

    def validate(self, inputs_BT: Ids, targets_BT: Ids) -> float:
        """Mean loss with dropout off, nats a token; smaller batches are filled up to the run's."""
        loss = self._loaded.decoder.loss(inputs_BT, targets_BT, self._run.batch_size)
        return self._ops.number(loss)

    def next_logits(self, tokens: Sequence[int]) -> Array:
        """Scores (V,) of the token that follows 1 to T ``tokens``; dropout off."""
        return self._loaded.decoder.next_logits(np.asarray(tokens, np.int64))

    def weights(self) -> dict[str, Array]:
        """All weights by their published names, fp32."""
        return self._loaded.export_weights()

    def optimizer_state(self) -> dict[str, Array]:
        """What the optimizer remembers of each weight, "exp_avg/<weight>" and so on."""
        return self._loaded.export_state()

    def optimizer_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of everything in ``optimizer_state``; may be asked before ``load``."""
        return state_shapes(placements(self._spec), self._run)

    def load(
        self, weights: Mapping[str, Array], optimizer_state: Mapping[str, Array], steps: int
    ) -> None:
        """Take these weights and this state of ``steps`` updates; an empty state is a new one.

        Raises ValueError for those of another model or optimizer.
        """
        if self._learner is None:
            self._learner = Learner(self._spec, self._run, self._ops, weights)
        self._learner.load(weights, optimizer_state, steps)

    def peak_bytes(self) -> int:
        """The most bytes of tensors so far, counted as ttnn's allocator deals them out."""
        return self._ops.ledger.peak_bytes

    def close(self) -> None:
        """Give the card back."""
        self._learner = None
        self._resources.close()

    @property
    def _loaded(self) -> Learner:
        assert self._learner is not None, "a model has no weights before load"
        return self._learner


def open_model(spec: ModelSpec, run: RunSpec) -> Model:
    """Open the card that the run names, and see whether it computes what it should.

    Raises SpecError for what this backend lacks, for a card whose arithmetic is wrong and where
    ttnn is missing, and whatever ttnn raises for a card that it cannot open.
    """
    for problem in unsupported(spec, run):
        raise problem
    with ExitStack() as resources:
        try:
            ops = resources.enter_context(opened(card_number(run.device)))
        except ImportError as error:
            message = f"ttnn cannot be used in this Python: {error}"
            raise SpecError("device", message, {"device": "auto"}) from error
        found = self_check(ops)
        if found.problem:
            raise SpecError("device", found.problem, {"device": "auto"})
        ops.ledger.watch()  # the check's own peak is not the run's
        versions = {"ttnn": importlib.metadata.version("ttnn")}
        return Model(spec, run, ops, versions, resources.pop_all())


def card_number(device: str) -> int:
    """The number that ttnn knows a card by: 1 for n150:1, 0 where none is said; SpecError."""
    name, _, number = device.partition(":")
    if not name or not (number or "0").isdecimal():
        raise SpecError("device", f"{device[:40]!r} is not a Tenstorrent card", {"device": "auto"})
    return int(number or 0)
