"""The checklist of a card on which tt-train shall train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.devices.host_checks import Places
from engine.devices.preflight import (
    Preflight,
    design_checks,
    preflight,
)
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.devices import stand_in
from tests.engine.devices.checklists import named, no_tools, python, report

__all__ = ["no_tools", "python"]  # fixtures


def by_tt_train(places: Places, python: Path, **environment: str) -> Preflight:
    return preflight(
        "n150:0", backend="tt-train", python=python, places=places, environment=environment
    )


def test_tt_train_needs_its_ttml(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    found = by_tt_train(places, python)
    assert [check.name for check in found.blocking] == ["ttml"]
    check = named(found, "ttml")
    assert check.title == "tt-train's ttml"
    assert "built from source together with tt-metal" in check.advice
    assert "preflight --device n150:0 --card-backend tt-train --python PATH" in check.advice
    assert "card_backend = ttnn" in check.advice
    assert found.summary() == (
        "cannot train on n150:0 by tt-train: ttml is not installed in the worker's Python"
    )
    assert report(places, python).ready, "our own graph takes no notice of it"


def test_a_machine_that_has_everything_for_tt_train(tmp_path: Path) -> None:
    python = stand_in.python_of_tt_train(tmp_path / "python")
    found = by_tt_train(stand_in.ready_places(tmp_path), python)
    assert found.ready
    assert (found.backend, found.interpreter) == ("tt-train", python)
    assert found.summary() == "training on n150:0 by tt-train can start"
    assert (named(found, "ttml").state, named(found, "ttml").needed) == ("ok", True)
    verified = named(found, "verified")
    assert (verified.state, verified.found) == ("unknown", "not yet verified on hardware")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "another package of that name"),
        ("import _nothing", "ttml cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_ttml_that_is_of_no_use_stops_tt_train(
    tmp_path: Path, source: str | None, said: str
) -> None:
    python = stand_in.python_of_tt_train(tmp_path / "python")
    ttml = tmp_path / "python" / "site" / "ttml"
    if source is None:
        (ttml / "models").rmdir()
    else:
        (ttml / "__init__.py").write_text(source)
    found = by_tt_train(stand_in.ready_places(tmp_path), python)
    assert [check.name for check in found.blocking] == ["ttml"]
    assert said in found.blocking[0].found


def test_nobody_is_told_to_put_a_wheel_s_ttnn_beside_ttml(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path / "python", {"numpy": "2.2.6"})
    found = by_tt_train(stand_in.ready_places(tmp_path), python)
    assert {check.name for check in found.blocking} == {"packages", "ttnn", "numpy", "ttml"}
    assert "pip install ttnn" not in found.text()
    assert "tenstorrent-env" not in found.text()


def test_the_compiler_that_tt_metal_carries_is_found_by_its_python(tmp_path: Path) -> None:
    python = stand_in.tt_metal(tmp_path / "metal", stand_in.python_of_tt_train(tmp_path / "python"))
    places = replace(stand_in.ready_places(tmp_path), compiler=tmp_path / "none")
    check = named(by_tt_train(places, python), "sfpi")
    assert check.state == "missing"
    assert str(tmp_path / "metal" / "runtime" / "sfpi") in check.found
    assert "install_dependencies.sh" in check.advice
    carried = tmp_path / "metal" / "runtime" / "sfpi" / "compiler" / "bin"
    carried.mkdir(parents=True)
    (carried / "riscv-tt-elf-g++").write_text("")
    assert by_tt_train(places, python).ready


def test_what_tt_train_cannot_train_is_on_its_list_and_what_it_computes_otherwise() -> None:
    run = RunSpec(device="n300:0", card_backend="tt-train", batch_size=3)
    (found,) = design_checks(ModelSpec(), run)
    assert found.found.startswith("batch_size: 3 sequences cannot be shared evenly among the 2")
    (fine,) = design_checks(ModelSpec(), run.replace(batch_size=4))
    assert (fine.state, fine.found) == ("ok", "can be trained by tt-train")
    assert "it computes in bf16" in fine.advice
