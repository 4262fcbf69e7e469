"""The model that a training loop drives: on numpy, and where it cannot be opened."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent.model import Model, card_number, open_model
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph.ops import Ops
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.training.failures import CardError
from tests.engine.backends.tenstorrent.designs import small, tokens

SPEC = small(dropout=0.2)
RUN = RunSpec(batch_size=3, precision="bf16-mixed", device="n150:0")
BATCHES = [(ids[:, :-1], ids[:, 1:]) for ids in (tokens(SPEC, 3, 33, seed) for seed in (0, 1))]


def model(run: RunSpec = RUN, resources: ExitStack | None = None) -> Model:
    return Model(SPEC, run, Ops(NumpyKernels()), {}, resources or ExitStack(), 1_000_000)


def test_it_learns_measures_and_writes() -> None:
    one = model()
    one.load(initial_weights(SPEC, 1), {}, 0)
    before = one.validate(*BATCHES[0])
    for step in range(20):
        update = one.step(BATCHES, 1e-2, seed=step)
        assert update.grad_norm > 0
    assert one.validate(*BATCHES[0]) < before - 0.5
    assert one.next_logits([3, 1, 4]).shape == (SPEC.vocab_size,)
    assert one.peak_bytes() is None, "numpy has no allocator to ask"
    assert (one.device, one.precision) == ("n150:0", "bf16-mixed")


def test_a_smaller_batch_is_measured_as_it_is() -> None:
    one = model()
    one.load(initial_weights(SPEC, 1), {}, 0)
    inputs, targets = BATCHES[0]
    parts = [one.validate(inputs[row : row + 1], targets[row : row + 1]) for row in range(3)]
    assert np.mean(parts) == pytest.approx(one.validate(inputs, targets), rel=1e-12)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd-momentum", "sgd"])
def test_what_it_remembers_goes_on_in_another(optimizer: str) -> None:
    run = RUN.replace(optimizer=optimizer)
    whole, other = model(run), model(run)
    whole.load(initial_weights(SPEC, 1), {}, 0)
    for step in range(3):
        whole.step(BATCHES, 1e-2, step)
    shapes = {key: array.shape for key, array in whole.optimizer_state().items()}
    assert shapes == other.optimizer_shapes()  # asked before it has weights
    other.load(whole.weights(), whole.optimizer_state(), 3)
    assert other.step(BATCHES, 1e-2, 3) == whole.step(BATCHES, 1e-2, 3)


def test_a_new_state_forgets_the_old_one() -> None:
    one, fresh = model(), model()
    for each in (one, fresh):
        each.load(initial_weights(SPEC, 1), {}, 0)
    one.step(BATCHES, 1e-2, 0)
    one.load(initial_weights(SPEC, 1), {}, 0)
    assert one.step(BATCHES, 1e-2, 0) == fresh.step(BATCHES, 1e-2, 0)


def test_the_seed_chooses_what_is_dropped() -> None:
    losses = []
    for seed in (1, 1, 2):
        one = model()
        one.load(initial_weights(SPEC, 1), {}, 0)
        losses.append(one.step(BATCHES, 1e-2, seed).loss)
    assert losses[0] == losses[1] != losses[2]


def test_closing_gives_memory_and_card_back() -> None:
    resources, said = ExitStack(), []
    resources.callback(lambda: said.append("closed"))
    one = model(resources=resources)
    one.load(initial_weights(SPEC, 1), {}, 0)
    ledger = one._ops.ledger
    assert ledger.live_bytes > 0
    one.close()
    assert said == ["closed"]
    assert ledger.live_bytes == 0


def test_of_several_chips_one_computes_and_a_person_is_told() -> None:
    *_, note = model(RUN.replace(device="n300:0")).notes
    assert "one of them" in note
    assert not any("one of them" in note for note in model().notes)


def test_a_person_is_told_that_nobody_has_seen_it_on_hardware() -> None:
    assert "training on Tenstorrent cards is not yet verified on hardware" in model().notes


def test_what_the_backend_lacks_is_refused_before_a_card_is_opened() -> None:
    with pytest.raises(SpecError, match="precision"):
        open_model(SPEC, RUN.replace(precision="fp32"))


@pytest.mark.skipif(importlib.util.find_spec("ttnn") is not None, reason="ttnn is installed here")
def test_without_ttnn_a_person_is_told() -> None:
    with pytest.raises(CardError, match="ttnn cannot be used in this Python") as caught:
        open_model(SPEC, RUN)
    assert "python -m engine preflight --device n150:0" in caught.value.advice


@contextmanager
def on_numpy(number: int) -> Iterator[Ops]:
    yield Ops(NumpyKernels(), banks=12)


def test_what_is_foretold_is_what_the_run_takes() -> None:
    """Both are counts of the same tensors, rounded up to the device's banks."""
    one = open_model(SPEC, RUN, on_numpy)
    one.load(initial_weights(SPEC, 1), {}, 0)
    one.step(BATCHES[:1], 1e-2, 0)
    foretold = one.predicted["peak_bytes"]
    assert one._ops.ledger.peak_bytes == foretold
    one.close()


def test_what_is_measured_is_what_the_device_says_of_itself() -> None:
    answers = iter(range(1, 1_000_000))
    one = Model(SPEC, RUN, Ops(NumpyKernels(), 12, lambda: next(answers)), {}, ExitStack(), 9)
    one.load(initial_weights(SPEC, 1), {}, 0)
    one.step(BATCHES, 1e-2, 0)
    first = one.peak_bytes()
    assert first is not None
    one.step(BATCHES, 1e-2, 1)
    assert one.peak_bytes() == first, "no new peak, no question"
    one._ops.ledger.watch()
    assert one.peak_bytes() == first + 1


def test_a_run_that_the_card_cannot_hold_is_refused_before_it_is_opened() -> None:
    large = RUN.replace(batch_size=1 << 20)
    with pytest.raises(SpecError, match=r"one chip of which has 12\.0 GiB") as caught:
        open_model(SPEC, large)
    assert caught.value.fix["batch_size"] < 1 << 20


class _Zeros(NumpyKernels):
    def download(self, data: Any) -> Any:
        return np.zeros_like(data)


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        (Ops(_Zeros(), banks=12), r"n150:0 failed its self-check: .* no working card"),
        (Ops(NumpyKernels(), banks=8), r"n150:0 has 12 banks, .* opened has 8: it is another card"),
    ],
    ids=["computes nothing", "another card"],
)
def test_a_card_that_is_not_computed_on_is_closed_and_named(ops: Ops, said: str) -> None:
    closed = []

    @contextmanager
    def opening(number: int) -> Iterator[Ops]:
        try:
            yield ops
        finally:
            closed.append(number)

    with pytest.raises(CardError, match=said):
        open_model(SPEC, RUN, opening)
    assert closed == [0]


_FATAL = """TT_FATAL @ /project/llrt/tt_cluster.cpp:129: num_chips > 0
info:
No chips detected
in the cluster
backtrace:
 --- /lib/libc.so.6(+0x2724a)
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (_FATAL, "No chips detected in the cluster"),
        ("sfpi not found at /x/sfpi\nbacktrace:\n --- y", "sfpi not found at /x/sfpi"),
        ("", "RuntimeError"),
    ],
)
def test_of_what_ttnn_says_the_reason_is_told(said: str, told: str) -> None:
    @contextmanager
    def broken(number: int) -> Iterator[Ops]:
        if number == 0:
            raise RuntimeError(said)
        yield Ops(NumpyKernels())

    with pytest.raises(CardError) as caught:
        open_model(SPEC, RUN, broken)
    assert str(caught.value) == f"ttnn cannot open n150:0: {told}"


@pytest.mark.parametrize(
    ("device", "number"), [("n150", 0), ("n150:0", 0), ("p150a:3", 3), ("n300:", 0)]
)
def test_cards_are_numbered(device: str, number: int) -> None:
    assert card_number(device) == number


@pytest.mark.parametrize("device", ["", ":1", "n150:one", "n150:-1"])
def test_what_is_no_card_is_refused(device: str) -> None:
    with pytest.raises(SpecError, match="not a Tenstorrent card"):
        card_number(device)
