"""The benchmarks run: tiny versions of them, for what they say and not for how fast it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import evaluate, measure, memory_formula, memory_process, startup, step_time
from engine.cost.parameters import count
from engine.run_spec import check_run
from engine.spec import check

ROOT = Path(__file__).resolve().parents[2]


def test_spread_has_median_and_quartiles() -> None:
    found = measure.spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.median, found.high, found.count) == (2.0, 3.0, 4.0, 5)


def test_pairs_take_turns_in_swapped_order() -> None:
    order: list[str] = []

    def timed(name: str, figure: float) -> float:
        order.append(name)
        return figure

    found, ratios = measure.interleaved_ratio(
        lambda: timed("a", 3.0), lambda: timed("b", 2.0), pairs=4
    )
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert ratios == [1.5] * 4
    assert found.median == 1.5


def test_evaluating_prints_a_line_a_design(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "_CALLS", 20)
    evaluate.main()
    assert "evaluate nano-trickster" in capsys.readouterr().out


def test_the_start_is_measured_on_the_real_window(capsys: pytest.CaptureFixture[str]) -> None:
    startup.main(count=3)
    assert "torch imported: False" in capsys.readouterr().out


def test_designs_to_predict_are_many_and_of_all_sizes() -> None:
    sizes = [count(check(spec)).total for spec, run in step_time.DESIGNS.values()]
    for spec, run in step_time.DESIGNS.values():
        check_run(run, spec)
    assert len(sizes) >= 20
    assert min(sizes) < 0.6e6
    assert 50e6 < max(sizes) < 60e6


def test_predictions_are_summed_up_by_their_absolute_errors() -> None:
    outcomes = [
        step_time.Outcome(name, predicted, 0.9 * predicted, 1.1 * predicted, 1.0, 1.0)
        for name, predicted in (("a", 1.02), ("b", 0.95), ("c", 1.25), ("d", 1.0))
    ]
    assert [outcome.within for outcome in outcomes] == [True, True, False, True]
    assert step_time.summary(outcomes) == (
        "error: median 3.5%, quartiles 1.5% to 10.0%, worst +25.0% (c); 3 of 4 within their range"
    )
    spec, _ = step_time.DESIGNS["nano"]
    assert "5.2 M    1250.0 ms    1000.0 ms  +25.0%*" in step_time.line(outcomes[2], spec)


def test_a_design_is_trained_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "_LEAST_STEPS", 1)
    assert all(seconds > 0 for seconds in step_time.trained("smallest", "fp32", 0.0))


def test_a_benchmark_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "fly"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no benchmark is called fly" in done.stderr


def test_the_formula_of_memory_is_studied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["memory_formula", "3"])
    assert memory_formula.main() == 0
    printed = capsys.readouterr().out
    assert "false verdicts 'fits': 0" in printed
    assert printed.startswith("3 drawn designs")


def test_designs_are_the_same_for_a_seed_and_of_the_size_wanted() -> None:
    assert memory_formula.drawn(5) == memory_formula.drawn(5) != memory_formula.drawn(6)
    spec, run = memory_process.drawn(7)
    assert memory_process.drawn(7) == (spec, run)
    assert run.device == "cpu"
