"""What is said about going on so, and the way out that it offers."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from engine.devices.check import Check
from engine.devices.host import cpu_device
from engine.devices.preflight import Preflight
from engine.parameter import SpecError, Value
from engine.presets import preset
from engine.run_spec import RunSpec
from trickster_gui.cards.readiness import CardState
from trickster_gui.devices import Surroundings
from trickster_gui.elsewhere.findings import EndedRun, Finding, Known, can_go_on, findings
from trickster_gui.elsewhere.torch_check import TorchState

NANO = preset("nano-trickster")
RUN = NANO.run.replace(
    corpus="text.txt", device="cpu", precision="bf16-mixed", steps=100, warmup_steps=10
)
ENDED = EndedRun(Path("/run"), "Try", NANO.model, RUN, "cpu", 40, platform.python_version())
AROUND = Surroundings((cpu_device(),))
READY = CardState(Preflight("n150:0", (), Path("/python"), None, "ttnn", "3.12.1"))
LACKING = CardState(Preflight("n150:0", (Check("driver", "Driver", "missing", "no driver"),)))


def said(
    ended: EndedRun = ENDED, *, card: CardState = READY, torch: TorchState | None = None,
    around: Surroundings = AROUND, **changes: Value,
) -> tuple[Finding, ...]:  # fmt: skip
    known = Known(around, card, torch or TorchState(known=True))
    return findings(ended, ended.proposal().replace(**changes), known)


def of(run: RunSpec) -> EndedRun:
    return replace(ENDED, run=run)


def test_a_run_that_is_unfinished_goes_on_as_it_was_planned() -> None:
    assert ENDED.proposal() == RUN
    assert replace(ENDED, done=100).proposal().steps == 200
    (found,) = said()
    assert found.text == "It can go on from step 40: 60 more steps on CPU in bf16 mixed."
    assert can_go_on((found,))


def test_a_run_without_a_checkpoint_begins_again() -> None:
    (found,) = said(replace(ENDED, done=0))
    assert "from the beginning: it has no checkpoint" in found.text


def test_a_ready_card_is_said_to_be_unproven() -> None:
    first, second = said(device="n150:0")
    assert first.text == "It can go on from step 40: 60 more steps on n150:0 by ttnn in bf16 mixed."
    assert second.text == "Training on cards is not yet verified on hardware."
    assert can_go_on((first, second))


@pytest.mark.parametrize(
    ("state", "severity", "text", "way"),
    [
        (CardState(), "info", "Checking n150:0: this takes some seconds…", ""),
        (CardState(checking=True), "info", "Checking n150:0: this takes some seconds…", ""),
        (LACKING, "error", "Cannot train on n150:0: no driver", "checklist"),
        (CardState(error="the disk is full"), "error", "The disk is full", "checklist"),
    ],
)
def test_a_card_that_is_not_ready_keeps_the_run_where_it_is(
    state: CardState, severity: str, text: str, way: str
) -> None:
    found = said(device="n150:0", card=state)
    assert (found[0].severity, found[0].text, found[0].way) == (severity, text, way)
    assert not can_go_on(found)


def test_what_a_card_lacks_is_said_beside_what_the_card_is_missing() -> None:
    missing, precision = said(device="n150:0", card=LACKING, precision="fp32")
    assert missing.field == "device"
    assert (precision.words, precision.fix) == ("Use bf16 mixed", (("precision", "bf16-mixed"),))


def test_a_setting_that_stays_as_it_was_leads_back_to_the_run_s_own_device() -> None:
    """A fix that no resume can make is not offered."""
    (found,) = said(of(RUN.replace(optimizer="adafactor")), device="n150:0")
    assert found.text.startswith("Optimizer: the Tenstorrent backend has AdamW")
    assert found.text.endswith(". That stays as it was where a run goes on")
    assert (found.words, found.fix) == ("Use CPU", (("device", "cpu"),))
    (found,) = said(of(RUN.replace(batch_size=4_096)), device="n150:0")
    assert "one chip of which has" in found.text
    assert found.fix == (("device", "cpu"),)


def test_on_its_own_device_there_is_no_way_back() -> None:
    own = of(RUN.replace(optimizer="adafactor", device="n150:0"))
    (found,) = said(own)
    assert (found.severity, found.words, found.way) == ("error", "", "")


def test_the_text_of_another_python_is_refused_and_leads_back() -> None:
    own = of(RUN.replace(corpus="python-stdlib"))
    found = said(own, device="n150:0")
    assert found[0].text.startswith("Text: python-stdlib is the text of the Python that trains")
    assert found[0].words == "Use CPU"
    assert can_go_on(said(own))


def test_torch_is_asked_of_what_it_has_not_trained_in() -> None:
    found = said(precision="fp32", torch=TorchState(checking=True))
    assert found[0].text == "Asking torch whether it can train on CPU in fp32…"
    assert not can_go_on(found)
    assert can_go_on(said(precision="fp32"))
    problem = SpecError("precision", "no bf16 here", {"precision": "fp32"})
    (found_problem,) = said(precision="bf16", torch=TorchState(known=True, problem=problem))
    assert (found_problem.text, found_problem.words) == ("Precision: no bf16 here", "Use fp32")


def test_too_little_memory_of_this_computer_is_a_warning() -> None:
    """The run may be worth a try, as everywhere: its worker warns too."""
    small = replace(cpu_device(), memory_bytes=1 << 30, chip_memory_bytes=1 << 30)
    found = said(of(RUN.replace(batch_size=512)), around=Surroundings((small,)))
    assert [finding.severity for finding in found] == ["success", "warning"]
    assert "may be ended for want of memory" in found[1].text
    assert can_go_on(found)
