"""The checklist of a card: each thing that can be missing is named, with what to do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.devices.host_checks import Places
from engine.devices.preflight import (
    CardNotReadyError,
    design_checks,
    require_ready,
)
from engine.parameter import SpecError
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.engine.devices import stand_in
from tests.engine.devices.checklists import named, no_tools, python, report
from tests.engine.devices.recorded import device, driver_tree, program

__all__ = ["no_tools", "python"]  # fixtures


def test_a_machine_that_has_everything(tmp_path: Path, python: Path) -> None:
    found = report(stand_in.ready_places(tmp_path), python)
    assert found.ready
    assert {check.name: check.state for check in found.checks} == {
        "driver": "ok", "card": "ok", "access": "ok", "firmware": "ok", "holders": "ok",
        "hugepages": "ok", "python": "ok", "packages": "ok", "ttnn": "ok", "numpy": "ok",
        "sfpi": "ok", "ttml": "missing", "verified": "unknown",
    }  # fmt: skip
    assert found.interpreter == python
    assert found.card is not None
    assert found.card.serial == "a1"
    assert found.summary() == "training on n150:0 can start"
    assert "is something else" in named(found, "ttml").advice


def test_a_machine_that_has_nothing(tmp_path: Path, python: Path) -> None:
    nowhere = tmp_path / "nowhere"
    places = Places(*(nowhere for _ in range(9)))
    found = report(places, tmp_path / "no-python")
    assert not found.ready
    assert {check.name: check.state for check in found.checks} == dict.fromkeys(
        ("driver", "card", "hugepages", "python", "sfpi"), "missing"
    ) | {"verified": "unknown"}
    assert all(check.advice for check in found.checks)
    assert found.interpreter is None
    assert found.summary() == (
        "cannot train on n150:0: Tenstorrent's kernel driver is not loaded (4 more things are "
        "missing)"
    )
    assert "modprobe tenstorrent" in found.text()


def test_the_list_is_text_that_can_be_read(tmp_path: Path, python: Path) -> None:
    places = replace(stand_in.ready_places(tmp_path), compiler=tmp_path / "none")
    lines = report(places, python).text().splitlines()
    assert lines[0].startswith("cannot train on n150:0: not found at ")
    assert "ok       Kernel driver" in lines[2]
    at = next(i for i, line in enumerate(lines) if line.startswith("missing"))
    assert "Kernel compiler sfpi" in lines[at]
    assert lines[at + 1].startswith("         It is not in ttnn's wheel")


def test_that_nobody_has_seen_it_on_hardware_is_said_and_stops_nothing(
    tmp_path: Path, python: Path
) -> None:
    found = report(stand_in.ready_places(tmp_path), python)
    check = named(found, "verified")
    assert (check.state, check.found) == ("unknown", "not yet verified on hardware")
    assert found.ready


def test_what_cards_cannot_train_of_a_design_is_on_the_list() -> None:
    run = RunSpec(precision="bf16-mixed", device="n150:0")
    (fine,) = design_checks(ModelSpec(hidden_dim=64), run)
    assert fine.state == "ok"
    found = design_checks(ModelSpec(hidden_dim=48), run.replace(optimizer="adafactor"))
    assert [check.state for check in found] == ["missing", "missing"]
    assert found[0].found.startswith("hidden_dim: a Tenstorrent card works in tiles of 32")
    assert found[0].advice == "Set hidden_dim = 64"
    assert found[1].advice == "Set optimizer = adamw"


@pytest.mark.parametrize(
    "name", ["cpu", "cuda:0", "auto", "", "n155:0", "n150:x", "n150:", "x" * 99]
)
def test_other_devices_have_no_checklist(tmp_path: Path, python: Path, name: str) -> None:
    with pytest.raises(SpecError, match="is not a Tenstorrent card"):
        report(stand_in.ready_places(tmp_path), python, name)


def test_a_card_without_a_number_is_the_first(tmp_path: Path, python: Path) -> None:
    assert report(stand_in.ready_places(tmp_path), python, " N150 ").device == "n150:0"


def test_another_card_than_those_here(tmp_path: Path, python: Path) -> None:
    found = report(stand_in.ready_places(tmp_path), python, "n150:1")
    check = named(found, "card")
    assert check.found == "n150:1 is not in this computer, which has n150:0"
    assert "Choose one that is here: n150:0" in check.advice
    assert found.card is None


def test_boards_of_a_t3k_and_the_whole_can_be_asked_for(tmp_path: Path, python: Path) -> None:
    places = replace(
        stand_in.ready_places(tmp_path),
        driver_class=driver_tree(tmp_path / "t3k", {
            n: device("n300", f"s{n}", n + 1) for n in range(4)
        }),
    )  # fmt: skip
    for number in range(1, 4):
        (places.device_files / str(number)).write_text("")
    assert report(places, python, "n300:3").ready
    whole = report(places, python, "t3k")
    assert whole.ready
    assert named(whole, "hugepages").state == "ok"
    (places.hugepage_counts / "hugepages-1048576kB" / "nr_hugepages").write_text("3")
    fewer = report(places, python, "t3k")
    assert named(fewer, "hugepages").state == "unknown"
    assert fewer.ready


def test_a_device_file_that_is_missing(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    (places.device_files / "0").unlink()
    check = named(report(places, python), "access")
    assert check.state == "missing"
    assert check.found.endswith("/tenstorrent/0 missing")


@pytest.mark.skipif(os.getuid() == 0, reason="root may use everything")
def test_a_device_file_that_may_not_be_used(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    (places.device_files / "0").chmod(0o444)
    assert "may not read and write" in named(report(places, python), "access").found


def test_firmware_that_nobody_tells_stops_nothing(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path, tt_fw_bundle_ver="")
    program(tmp_path / "bin", "tt-smi", "echo 'no chip answers' >&2; exit 1")
    found = report(places, python)
    check = named(found, "firmware")
    assert check.state == "unknown"
    assert "no chip answers" in check.advice
    assert found.ready


def test_who_else_has_the_card_open(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    pids = places.holders / "0" / "pids"
    pids.write_text(f"{os.getpid()}\n")
    assert named(report(places, python), "holders").state == "ok"
    pids.write_text(f"{os.getppid()}\n99999999\n0\n")
    found = report(places, python)
    check = named(found, "holders")
    assert (check.state, found.ready) == ("unknown", True)
    assert f"({os.getppid()})" in check.found
    assert "99999999" in check.found
    assert "another container" in check.found
    pids.write_bytes(b"\xff\xfe garbage -1")
    assert named(report(places, python), "holders").state == "ok"
    pids.unlink()
    assert "is not told" in named(report(places, python), "holders").found


@pytest.mark.parametrize(
    ("file", "text", "state", "said"),
    [
        ("proc/mounts", "", "missing", "are not mounted"),
        ("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n", "missing", "not mounted"),
        ("mm/hugepages-1048576kB/nr_hugepages", "0\n", "missing", "there is no hugepage"),
        ("mm/hugepages-1048576kB/nr_hugepages", "many", "unknown", "is not told"),
    ],
)
def test_hugepages(
    tmp_path: Path, python: Path, file: str, text: str, state: str, said: str
) -> None:
    places = stand_in.ready_places(tmp_path)
    (tmp_path / file).write_text(text)
    check = named(report(places, python), "hugepages")
    assert check.state == state
    assert said in check.found


def test_blackhole_needs_no_hugepages(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path, "p150b")
    places.mounts.write_text("")
    assert report(places, python, "p150:0").ready


def test_an_iommu_stands_in_for_hugepages(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    places.mounts.write_text("")
    group = places.pci_devices / "0000:01:00.0" / "iommu_group"
    group.mkdir(parents=True)
    (group / "type").write_text("identity\n")
    assert not report(places, python).ready
    (group / "type").write_text("DMA-FQ\n")
    found = report(places, python)
    assert found.ready
    assert named(found, "hugepages").state == "unknown"


@pytest.mark.parametrize(
    ("versions", "name", "said"),
    [
        ({"ttnn": None}, "ttnn", "ttnn is not installed"),
        ({"tokenizers": None}, "packages", "1 package that the engine needs is missing"),
        ({"numpy": "2.2.6"}, "numpy", "needs one below 2"),
    ],
)
def test_what_the_worker_s_python_lacks(
    tmp_path: Path, versions: dict[str, str | None], name: str, said: str
) -> None:
    there = {k: v for k, v in {**stand_in.PACKAGES, **versions}.items() if v is not None}
    found = report(stand_in.ready_places(tmp_path), stand_in.python(tmp_path / "python", there))
    assert [check.name for check in found.blocking] == [name]
    assert said in found.blocking[0].found
    advice = found.blocking[0].advice
    assert "“Make it”" in advice
    assert "python -m engine card-environment --device n150:0" in advice
    assert "make tenstorrent-env" in advice


def test_a_python_of_another_version(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path / "python", version=(3, 11))
    found = report(stand_in.ready_places(tmp_path), python)
    assert [check.name for check in found.blocking] == ["python"]
    assert "ttnn exists only for 3.10 or 3.12" in found.blocking[0].found


def test_a_ttnn_that_cannot_be_imported(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path / "p", sources={"ttnn": "raise OSError('no libnuma')"})
    found = report(stand_in.ready_places(tmp_path), python)
    assert "OSError: no libnuma" in named(found, "ttnn").found
    assert not found.ready


def test_another_ttnn_than_the_one_this_was_made_with_is_said(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path / "p", {**stand_in.PACKAGES, "ttnn": "0.77.0"})
    found = report(stand_in.ready_places(tmp_path), python)
    assert found.ready
    assert named(found, "ttnn").found == "0.77.0; this version was made with 0.81.1"


def test_the_compiler_beside_ttnn_counts(tmp_path: Path, python: Path) -> None:
    places = replace(stand_in.ready_places(tmp_path), compiler=tmp_path / "none")
    assert [check.name for check in report(places, python).blocking] == ["sfpi"]
    beside = tmp_path / "python" / "site" / "ttnn" / "runtime" / "sfpi" / "compiler" / "bin"
    beside.mkdir(parents=True)
    (beside / "riscv32-tt-elf-g++").write_text("")
    assert named(report(places, python), "sfpi").state == "ok"
    home = tmp_path / "metal"
    (home / "runtime" / "sfpi" / "compiler" / "bin").mkdir(parents=True)
    (home / "runtime" / "sfpi" / "compiler" / "bin" / "riscv-tt-elf-g++").write_text("")
    check = named(report(places, python, TT_METAL_HOME=str(home)), "sfpi")
    assert check.found == str(home / "runtime" / "sfpi")


def test_the_wrong_ttml_is_warned_of_and_stops_nothing(tmp_path: Path) -> None:
    python = stand_in.python(tmp_path / "p", {**stand_in.PACKAGES, "ttml": "1.0"})
    found = report(stand_in.ready_places(tmp_path), python)
    assert found.ready
    check = named(found, "ttml")
    assert (check.state, check.needed) == ("missing", False)
    assert "pip uninstall ttml" in check.advice
    (tmp_path / "p" / "site" / "ttml" / "models").mkdir()
    assert named(report(stand_in.ready_places(tmp_path / "again"), python), "ttml").state == "ok"


# Starting


RUN = RunSpec(device="n150:0", precision="bf16-mixed")


def test_ready_or_the_checklist(tmp_path: Path, python: Path) -> None:
    with pytest.raises(CardNotReadyError) as caught:
        require_ready(ModelSpec(), RUN, python)
    error = caught.value
    assert error.field == "device"
    assert error.fix == {"device": "auto"}
    assert error.message == error.report.summary()
    assert "modprobe" in error.details
    assert "This design" not in error.details
    places = stand_in.ready_places(tmp_path)
    found = require_ready(ModelSpec(), RUN, python, places)
    assert found is not None
    assert (found.ready, found.interpreter) == (True, python)
    assert require_ready(ModelSpec(), RUN.replace(device="cpu")) is None


def test_what_has_to_be_there_is_what_the_run_is_trained_by(tmp_path: Path, python: Path) -> None:
    places = stand_in.ready_places(tmp_path)
    by_it = RUN.replace(card_backend="tt-train")
    with pytest.raises(CardNotReadyError, match="ttml is not installed"):
        require_ready(ModelSpec(), by_it, python, places)
    other = stand_in.python_of_tt_train(tmp_path / "other")
    found = require_ready(ModelSpec(), by_it, other, places)
    assert found is not None
    assert found.backend == "tt-train"
    with pytest.raises(SpecError, match="driven with AdamW"):
        require_ready(ModelSpec(), by_it.replace(optimizer="sgd"), other, places)
    assert require_ready(ModelSpec(), by_it.replace(device="cpu")) is None


def test_a_design_that_cards_cannot_train_is_refused_by_name(tmp_path: Path, python: Path) -> None:
    single = RUN.replace(precision="fp32")
    with pytest.raises(CardNotReadyError) as caught:
        require_ready(ModelSpec(), single, python)
    assert "missing  This design" in caught.value.details
    with pytest.raises(SpecError, match="19 bits") as refused:
        require_ready(ModelSpec(), single, python, stand_in.ready_places(tmp_path))
    assert (refused.value.field, refused.value.fix) == ("precision", {"precision": "bf16-mixed"})
