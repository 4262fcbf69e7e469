"""Operations of an update, against those that the graph calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.card_graph.shape_kernels import NO_ARRAY, Blank, ShapeKernels
from engine.card_graph.update import Updater
from engine.cost.card_operations import operations_of_update
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.backends.tenstorrent.designs import card_specs
from tests.engine.cost.test_card_memory import RUN, card_runs


class _Counting(ShapeKernels):
    """Kernels that count their calls by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_"):
            self.calls[name] += 1
        return found


def called(spec: ModelSpec, run: RunSpec) -> int:
    """Operations that an update calls; looking up rows and drawing a mask take two each."""
    kernels = _Counting()
    updater = Updater(spec, run, Ops(kernels), dict.fromkeys(placements(spec), NO_ARRAY))
    ids: Any = Blank((run.batch_size, run.sequence_length(spec)))
    updater.decoder.prepare(ids.shape[1])
    kernels.calls.clear()
    parts = run.accumulation_steps
    updater.gradients([(ids, ids)] * parts, parts)
    updater.clip()
    updater.apply(run.learning_rate)
    views = ("reshape", "free", "download")
    twice = kernels.calls["embedding"] + kernels.calls["keep_mask"]
    return twice + sum(number for name, number in kernels.calls.items() if name not in views)


@settings(deadline=None, max_examples=60)
@given(spec=card_specs(), layers=st.integers(1, 6), data=st.data())
def test_they_are_those_that_the_graph_calls(
    spec: ModelSpec, layers: int, data: st.DataObject
) -> None:
    spec = spec.replace(num_layers=layers)
    run = data.draw(card_runs(spec))
    assert operations_of_update(spec, run) == called(spec, run)


def test_an_optimizer_that_cards_lack_counts_as_adamw() -> None:
    spec = ModelSpec()
    expected = operations_of_update(spec, RUN)
    assert operations_of_update(spec, RUN.replace(optimizer="adafactor")) == expected
