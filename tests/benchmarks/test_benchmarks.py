"""The benchmarks run: tiny versions of them, for what they say and not for how fast it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import evaluate, measure, startup

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


def test_a_benchmark_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "fly"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no benchmark is called fly" in done.stderr
