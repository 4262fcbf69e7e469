"""Which card a simulator stands in for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.devices.simulator import simulator
from engine.devices.tenstorrent import discover, present_cards


def made(folder: Path, descriptor: str | None) -> dict[str, str]:
    """A simulator's file, and the variable that names it."""
    (folder / "sim.so").write_text("")
    if descriptor is not None:
        (folder / "soc_descriptor.yaml").write_text(descriptor)
    return {"TT_METAL_SIMULATOR": str(folder / "sim.so")}


def test_nobody_names_one() -> None:
    assert simulator({}) is None
    assert simulator({"TT_METAL_SIMULATOR": ""}) is None


@pytest.mark.parametrize(
    ("architecture", "name"), [("WORMHOLE_B0", "n150:0"), ("BLACKHOLE", "p150:0")]
)
def test_it_stands_in_for_the_card_with_one_such_chip(
    tmp_path: Path, architecture: str, name: str
) -> None:
    text = f"grid:\n  x_size: 10\n\narch_name: {architecture}\n\nfeatures:\n  noc: 1\n"
    found = simulator(made(tmp_path, text))
    assert found is not None
    assert found.card is not None
    assert found.card.name == name
    assert found.card.sources == ("simulator",)
    assert not found.problem


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [
        (None, "cannot be read"),
        ("", "no arch_name"),
        ("arch_name: QUASAR\n", "has quasar"),
        ("arch_name: [1, 2]\n", "no arch_name"),
        ("x" * 2_000_000 + "\narch_name: BLACKHOLE\n", "no arch_name"),
        ("\0\ufffd arch_name: BLACKHOLE", "no arch_name"),
    ],
)
def test_a_chip_that_cannot_be_told_is_no_card(
    tmp_path: Path, descriptor: str | None, said: str
) -> None:
    found = simulator(made(tmp_path, descriptor))
    assert found is not None
    assert found.card is None
    assert said in found.problem


@pytest.mark.parametrize("name", ["/nowhere/sim.so", "a\0b", "x" * 5_000])
def test_a_file_that_is_not_there_is_told(name: str) -> None:
    found = simulator({"TT_METAL_SIMULATOR": name})
    assert found is not None
    assert found.card is None
    assert "does not exist" in found.problem
    assert len(found.problem) < 300


def test_it_is_all_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in made(tmp_path, "arch_name: WORMHOLE_B0\n").items():
        monkeypatch.setenv(name, value)
    assert [card.name for card in present_cards(tmp_path)] == ["n150:0"]
    assert [card.name for card in discover(root=tmp_path).cards] == ["n150:0"]
    (tmp_path / "soc_descriptor.yaml").unlink()
    found = discover(root=tmp_path)
    assert not found.cards
    assert "cannot be read" in found.problems[0]
