"""A model on a card as a training loop drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from engine.backends.card.device_errors import reason, way_on
from engine.backends.card.model import StepResult
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.self_check import self_check
from engine.backends.tenstorrent.ttnn_kernels import opened, versions
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.card_graph.optimizers import state_shapes
from engine.cost.card_fit import check_memory
from engine.cost.card_memory import banks_of
from engine.devices.card import card_name, chips_of
from engine.devices.card_rules import NOT_VERIFIED, check_for_cards
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.failures import CardError

# Opens a card by its number and closes it again. Only tests have another than ttnn's.
Opening = Callable[[int], AbstractContextManager[Ops]]


class Model:
    """A model with its optimizer on a card that is open; made with ``open_model``.

    It has no weights before ``load``. ``device`` is the card's full name (n150:0), ``precision``
    what it computes in, ``notes`` what a person should know of how this run is computed,
    ``predicted`` what was estimated before it, as engine.events.Started has it.
    """

    def __init__(
        self, spec: ModelSpec, run: RunSpec, ops: Ops, versions: Mapping[str, str],
        resources: ExitStack, peak_bytes: int,
    ) -> None:  # fmt: skip
        self.device, self.precision, self.versions = card_name(run.device), run.precision, versions
        self.notes = _notes(self.device)
        self.predicted = {"peak_bytes": float(peak_bytes)}
        self._spec, self._run, self._ops, self._resources = spec, run, ops, resources
        self._learner: Learner | None = None

    def step(self, batches: Sequence[tuple[Ids, Ids]], rate: float, seed: int) -> StepResult:
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

    def peak_bytes(self) -> int | None:
        """The most bytes that the card's allocator had dealt out so far, as it says itself.

        It is asked after operations: what they have for themselves meanwhile is not seen.
        """
        return self._ops.ledger.allocated_peak_bytes

    def close(self) -> None:
        """Give the card back."""
        self._learner = None
        self._resources.close()

    @property
    def _loaded(self) -> Learner:
        assert self._learner is not None, "a model has no weights before load"
        return self._learner


def _notes(device: str) -> tuple[str, ...]:
    told = (f"training on Tenstorrent cards is {NOT_VERIFIED}",)
    if chips_of(device) > 1:
        several = f"{device} has several chips; one of them computes"
        return (*told, f"{several}. tt-train would use all: card_backend = tt-train")
    return told


def open_model(spec: ModelSpec, run: RunSpec, opening: Opening = opened) -> Model:
    """Open the card that the run names, and see whether it computes what it should.

    Raises SpecError for what this backend lacks and for a run that the card's memory does not
    hold, CardError for a card that cannot be opened or that computes what it should not.
    """
    check_for_cards(spec, run)
    peak_bytes = check_memory(spec, run)
    device = card_name(run.device)
    with ExitStack() as resources:
        ops = _opened(device, opening, resources)
        _check_banks(device, ops)
        problem = _self_check_problem(ops)
        if problem:
            raise CardError(f"{device} failed its self-check: {problem}", way_on(device))
        ops.ledger.watch()  # the check's own peak is not the run's
        return Model(spec, run, ops, versions(), resources.pop_all(), peak_bytes)


def _opened(device: str, opening: Opening, resources: ExitStack) -> Ops:
    number = card_number(device)
    try:
        return resources.enter_context(opening(number))
    except ImportError as error:
        message = f"ttnn cannot be used in this Python: {error}"
        raise CardError(message, way_on(device)) from error
    except RuntimeError as error:
        message = f"ttnn cannot open {device}: {reason(error)}"
        raise CardError(message, way_on(device)) from error


def _check_banks(device: str, ops: Ops) -> None:
    """Memory was foretold for the banks of the card that was chosen: no other may compute."""
    expected = banks_of(device)
    if ops.banks != expected:
        raise CardError(
            f"the memory of {device} has {expected} banks, that of the chip that ttnn opened has "
            f"{ops.banks}: it is another card",
            "See which cards are here: python -m engine devices. Then choose that one, or go on "
            "with --device auto",
        )


def _self_check_problem(ops: Ops) -> str:
    """What is wrong; operations are compiled here for the first time, which may fail as well."""
    try:
        return self_check(ops).problem
    except RuntimeError as error:
        return reason(error)


def card_number(device: str) -> int:
    """The number that ttnn knows a card by: 1 for n150:1, 0 where none is said; SpecError."""
    name, _, number = device.partition(":")
    if not name or not (number or "0").isdecimal():
        raise SpecError("device", f"{device[:40]!r} is not a Tenstorrent card", {"device": "auto"})
    return int(number or 0)
