"""The command that traces memory through the training code, and runs it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from engine.__main__ import main

SMALL = (
    "measure", "nano-trickster", "--batch", "2", "--seq", "64", "--device", "cpu",
    "--precision", "fp32", "--set", "model.num_layers=2", "--set", "validation_tokens=64",
)  # fmt: skip


def answer(capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    assert main([*SMALL, *more, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_the_trace_stands_beside_the_formula_phase_by_phase(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = answer(capsys)
    traced, predicted = document["traced"], document["predicted"]
    assert traced["peak_bytes"] == max(traced["phases"].values())
    assert traced["phases"][traced["peak_phase"]] == traced["peak_bytes"]
    assert set(predicted["phases"]) == set(traced["phases"])
    assert abs(document["difference"]) < 0.001
    assert document["real"] is None


def test_attention_that_is_written_out_takes_more(capsys: pytest.CaptureFixture[str]) -> None:
    longer = ("--batch", "8", "--seq", "256", "--set", "model.dropout=0")
    fused = answer(capsys, *longer)["traced"]["peak_bytes"]
    written_out = answer(capsys, *longer, "--set", "attention=materialised")
    assert written_out["traced"]["peak_bytes"] > 1.05 * fused


def test_the_report_names_every_phase(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(SMALL)) == 0
    printed = capsys.readouterr().out
    for phase in ("end of forward", "update of the weights", "validation", "sampling", "peak"):
        assert f"\n{phase} " in printed


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_real_process_takes_what_was_traced(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "--real", "--batch", "8", "--seq", "256")
    traced, real = document["traced"]["step_peak_bytes"], document["real"]
    assert traced > 50_000_000
    assert real["live_bytes"] == pytest.approx(traced, rel=0.001)
    assert real["resident_bytes"] == pytest.approx(traced, rel=0.05)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--set", "attention=fused", "--set", "model.dropout=0.1"), "attention"),
        (("--precision", "fp8"), "precision"),
        (("--device", "n150", "--real"), "real"),
        (("--seq", "100000"), "seq_len"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    more: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, *more]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"engine measure: {named}: ")
    assert printed.err.count("\n") == 1
