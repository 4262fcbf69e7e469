"""What takes the place of a card on its checklist: a simulator does, a mock device never."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.devices.host_checks import Places
from tests.engine.devices import stand_in
from tests.engine.devices.checklists import named, no_tools, python, report

__all__ = ["no_tools", "python"]  # fixtures


def test_a_simulator_takes_the_place_of_a_card(tmp_path: Path, python: Path) -> None:
    places = replace(
        Places(*(tmp_path / "nowhere" for _ in range(9))),
        compiler=stand_in.ready_places(tmp_path).compiler,
    )
    simulator = tmp_path / "simulator.so"
    variables = {
        "TT_METAL_SIMULATOR": str(simulator), "TT_METAL_SLOW_DISPATCH_MODE": "1",
        "TT_METAL_DISABLE_SFPLOADMACRO": "1",
    }  # fmt: skip
    found = report(places, python, **variables)
    assert "does not exist" in named(found, "card").found
    simulator.write_text("")
    found = report(places, python, **variables)
    assert "soc_descriptor.yaml cannot be read" in named(found, "card").found
    descriptor = tmp_path / "soc_descriptor.yaml"
    descriptor.write_text("arch_name: WORMHOLE_B0\n")
    assert report(places, python, **variables).ready
    descriptor.write_text("arch_name: BLACKHOLE\n")
    found = report(places, python, **variables)
    assert named(found, "card").found == "the simulated chip is a Blackhole, no chip of n150:0"
    assert "Choose p150:0" in named(found, "card").advice
    descriptor.write_text("arch_name: WORMHOLE_B0\n")
    del variables["TT_METAL_SLOW_DISPATCH_MODE"]
    found = report(places, python, **variables)
    assert "export TT_METAL_SLOW_DISPATCH_MODE=1" in named(found, "card").advice


def test_a_mock_device_is_never_taken_for_a_card(tmp_path: Path, python: Path) -> None:
    found = report(
        stand_in.ready_places(tmp_path), python, TT_METAL_MOCK_CLUSTER_DESC_PATH="/x.yaml"
    )
    assert [check.name for check in found.blocking] == ["mock"]
