"""Measuring a computer, and what runs leave behind; no figure here is a time that matters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from engine.cost.calibration import (
    Calibration,
    RunSpeed,
    calibration_path,
    load_calibration,
    save,
)
from engine.cost.experience import cost_of
from engine.cost.step_work import KINDS, step_work
from engine.devices.contention import CpuTimes, cpu_times
from engine.models.decoder import build
from engine.run_spec import RunSpec
from engine.spec import ModelSpec, check
from engine.training import calibrate as calibration
from engine.training import price_fit
from engine.training.calibrate import DESIGNS, calibrate, remember_speed
from engine.training.loop import Parts
from engine.training.preparation import prepare
from engine.training.recorder import Recorder
from engine.training.session import make_control
from engine.training.update import Learner
from tests.computers import computer
from tests.engine.training.tiny import RUN, SPEC, new_run

# Counters of a process that has just begun and a machine that has done nothing since.
NOW = CpuTimes(0.0, 1e12, 0.0)
SMALL = ModelSpec(
    hidden_dim=64, num_layers=3, num_heads=4, num_kv_heads=2, mlp_dim=192, max_seq_len=48,
    vocab_size=512,
)  # fmt: skip


class Launched(TorchDispatchMode):
    """Counts kernels (what only looks at a tensor in another way is none) and bytes of products."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.product_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        made = [leaf for leaf in tree_iter(result) if isinstance(leaf, torch.Tensor)]
        given = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        storages = {tensor.untyped_storage()._cdata for tensor in given}
        looks = any(tensor.untyped_storage()._cdata in storages for tensor in made)
        if name.endswith("_") or not looks:
            self.kernels[name] += 1
        if name == "mm":
            self.product_bytes += sum(t.numel() * t.element_size() for t in given + made)
        return result


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"position": "none", "activation": "relu"}, {"norm": "layernorm"},
        {"activation": "gelu", "position": "learned"}, {"num_kv_heads": 4, "position": "alibi"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_counted_operations_are_those_that_torch_launches(
    changes: dict[str, Any], precision: str
) -> None:
    """Within a seventh; the update, one call for all weights, is counted weight by weight."""
    spec, run = SMALL.replace(**changes), RunSpec(batch_size=3, precision=precision)
    mixed = precision == "bf16-mixed"
    learner = Learner(
        build(spec), run, lambda: torch.autocast("cpu", torch.bfloat16, enabled=mixed)
    )
    tokens = torch.zeros((3, 48), dtype=torch.int64)
    learner.gradients([(tokens, tokens)], 1)
    with Launched() as launched:
        learner.gradients([(tokens, tokens)], 1)
    work = step_work(spec, run)
    assert work.product_bytes == launched.product_bytes
    of_update = 3 * sum(1 for _ in learner.model.parameters())
    assert work.operations == pytest.approx(launched.kernels.total() + of_update, rel=0.15)


def test_designs_are_possible_and_rich_in_different_work() -> None:
    """Each kind of work takes more than a twentieth of some design's time, at usual prices."""
    usual = price_fit.USUAL["fp32"]
    works = [step_work(check(spec), run) for spec, run in DESIGNS]
    for at, kind in enumerate(KINDS):
        shares = [work[at] * usual[at] / cost_of(work, usual) for work in works]
        if kind != "score_blocks":  # which take time in 16 bits
            assert max(shares) > 0.05, (kind, max(shares))


def quickly(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(calibration, "DESIGNS", DESIGNS[:number])
    monkeypatch.setattr(calibration, "_SECONDS", 0.0)


def test_each_precision_has_prices_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch, 2)
    calibrate("cpu", "fp32", threads=1)
    remembered = RunSpeed("fp32", 1, calibrate("cpu", "fp32", threads=1).speeds[0].steps[0])
    known = load_calibration()
    assert known is not None
    save(replace(known, runs=(remembered,)))
    both = calibrate("cpu", "bf16-mixed", threads=1)
    assert [speed.precision for speed in both.speeds] == ["fp32", "bf16-mixed"]
    assert both.runs == (remembered,), "what runs took is kept"
    assert load_calibration() == both


def test_what_was_measured_with_another_torch_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch, 2)
    old = computer(SPEC, RUN, 1.0)
    save(replace(old, machine={**calibration.fingerprint(), "torch": "1.0", "python": "/old"}))
    assert len(calibrate("cpu", "fp32", threads=1).speeds) == 1


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A run that is ready to be trained."""
    directory = new_run(tmp_path_factory.mktemp("parts"))
    recorder = Recorder(directory)
    try:
        return prepare(directory, recorder, make_control(directory, 0)).parts
    finally:
        recorder.close()


def known_runs() -> list[float]:
    known = load_calibration()
    return [] if known is None else [run.step.seconds for run in known.runs]


def test_a_run_is_remembered_with_the_threads_it_had(parts: Parts) -> None:
    torch.set_num_threads(1)
    remember_speed(parts, 0.5, NOW)
    known = load_calibration()
    assert known is not None
    (run,) = known.runs
    assert (run.precision, run.threads, run.step.seconds) == ("fp32", 1, 0.5)
    assert run.step.work == step_work(SPEC, RUN)
    assert dict(known.machine) == calibration.fingerprint()


def test_of_one_design_the_latest_three_are_kept(parts: Parts) -> None:
    for seconds in (1.0, 2.0, 3.0, 4.0):
        remember_speed(parts, seconds, NOW)
    assert known_runs() == [2.0, 3.0, 4.0]


def test_old_runs_are_forgotten_before_there_are_too_many(parts: Parts) -> None:
    for layers in range(1, 31):
        remember_speed(replace(parts, spec=SPEC.replace(num_layers=layers)), float(layers), NOW)
    assert known_runs() == [float(layers) for layers in range(7, 31)]


@pytest.mark.parametrize("times", [0.1, 10.0])
def test_a_run_that_is_beyond_belief_is_not_remembered(parts: Parts, times: float) -> None:
    torch.set_num_threads(1)
    save(computer(SPEC, RUN, 1.0, threads=1))
    remember_speed(parts, times, NOW)
    assert known_runs() == []
    remember_speed(parts, 2.0, NOW)
    assert known_runs() == [2.0]


def test_neither_unknown_speed_nor_compiled_code_is_remembered(parts: Parts) -> None:
    remember_speed(parts, None, NOW)
    forward = parts.learner.forward
    parts.learner.forward = lambda *_: None
    try:
        remember_speed(parts, 1.0, NOW)
    finally:
        parts.learner.forward = forward
    assert load_calibration() is None


def test_a_run_that_other_programs_disturbed_is_not_remembered(parts: Parts) -> None:
    torch.set_num_threads(1)
    now, cores = cpu_times(), psutil.cpu_count() or 1
    disturbed = CpuTimes(now.moment - 100, now.busy_s - 100 * cores, now.own_s)
    remember_speed(parts, 1.0, disturbed)
    assert known_runs() == []
    quiet = CpuTimes(now.moment - 100, now.busy_s - 100, now.own_s - 100)
    remember_speed(parts, 1.0, quiet)
    assert known_runs() == [1.0]


def test_a_damaged_calibration_does_not_fail_a_run(parts: Parts) -> None:
    path: Path = calibration_path()
    path.parent.mkdir(parents=True)
    path.write_text("{")
    remember_speed(parts, 1.0, NOW)
    assert path.read_text() == "{"


def test_an_empty_calibration_has_no_speed() -> None:
    assert Calibration((), {}).speed("fp32", None) is None
