"""What is to be said about going on so: what is against it and the way out, or that it can.

Nothing is checked here: the engine, the check of a card and the question to torch have done that.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.cost.fit import fit
from engine.data.moved_text import text_problem
from engine.devices.card import card_name
from engine.devices.card_rules import NOT_VERIFIED
from engine.going_on import MOVED, going_on, problems_of_going_on
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, label_of, run_parameters
from engine.spec import ModelSpec
from engine.words import binary_bytes
from trickster_gui.cards.readiness import CardState
from trickster_gui.controls.segments import short
from trickster_gui.design.binding import spoken
from trickster_gui.devices import Surroundings
from trickster_gui.elsewhere.torch_check import TorchState
from trickster_gui.messages import Severity

_CAN_MOVE = (*MOVED, "steps")
Way = Literal["", "fix", "checklist"]


@dataclass(frozen=True)
class EndedRun:
    """A run that ended, as its record has it.

    Attributes:
        device: where it trained last, such as cpu where the run says auto.
        done: steps of the checkpoint that it goes on from, 0 where there is none.
        python: the version that its text was read under; empty where that is not known.
    """

    path: Path
    title: str
    model: ModelSpec
    run: RunSpec
    device: str
    done: int
    python: str

    def proposal(self) -> RunSpec:
        """As it was; one that has done its steps does as many again."""
        more = self.run.steps if self.done < self.run.steps else self.done + self.run.steps
        return going_on(self.run, steps=more)


@dataclass(frozen=True)
class Finding:
    """One thing to know. ``field`` is the setting at fault; an error keeps it from going on.

    ``words`` are those of the button that helps, and ``way`` what it does: change to ``fix``, or
    show what the card lacks.
    """

    severity: Severity
    text: str
    field: str = ""
    words: str = ""
    way: Way = ""
    fix: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Known:
    """What was found out about the devices so far."""

    around: Surroundings
    card: CardState
    torch: TorchState


def findings(ended: EndedRun, wanted: RunSpec, known: Known) -> tuple[Finding, ...]:
    """What there is to say about going on as ``wanted``, what is against it first."""
    done = ended.done or None
    problems = (*problems_of_going_on(ended.model, wanted, done), *_text(ended, wanted, known))
    refusals = [_refusal(problem, ended, wanted, known.around) for problem in problems]
    found = list(dict.fromkeys((*_of_device(ended, wanted, known), *refusals)))
    if not found:
        found.append(_possible(ended, wanted, known.around))
    if not any(finding.severity == "error" for finding in found):
        found += _warnings(ended.model, wanted, known)
    return tuple(found)


def can_go_on(found: tuple[Finding, ...]) -> bool:
    """Whether nothing is against it, and nothing is still being found out."""
    return bool(found) and all(finding.severity in ("success", "warning") for finding in found)


def asks_torch(ended: EndedRun, wanted: RunSpec) -> bool:
    """Whether torch has to say if it can: not of what the run was trained with already."""
    same = (wanted.device, wanted.precision) == (ended.run.device, ended.run.precision)
    return not card_name(wanted.device) and not same


def _of_device(ended: EndedRun, wanted: RunSpec, known: Known) -> list[Finding]:
    card = card_name(wanted.device)
    if card:
        return _of_card(card, known.card)
    if not asks_torch(ended, wanted):
        return []
    if known.torch.problem is not None:
        return [_refusal(known.torch.problem, ended, wanted, known.around)]
    if not known.torch.known:
        precision = precision_words(wanted)
        where = known.around.short_title(wanted.device)
        return [Finding("info", f"Asking torch whether it can train on {where} in {precision}…")]
    return []


def _of_card(card: str, state: CardState) -> list[Finding]:
    words = "What is missing"
    if state.checking or (state.report is None and not state.error):
        return [Finding("info", f"Checking {card}: this takes some seconds…")]
    if state.error:
        return [Finding("error", _sentence(state.error), "device", words, "checklist")]
    assert state.report is not None
    if state.report.ready:
        return []
    return [Finding("error", _sentence(state.report.summary()), "device", words, "checklist")]


def _text(ended: EndedRun, wanted: RunSpec, known: Known) -> tuple[SpecError, ...]:
    if not card_name(wanted.device):
        now = platform.python_version()
    elif known.card.report is not None and known.card.report.ready:
        now = known.card.report.python_version
    else:
        return ()
    problem = text_problem(wanted.corpus, ended.python, now)
    return () if problem is None else (problem,)


def _refusal(problem: SpecError, ended: EndedRun, wanted: RunSpec, around: Surroundings) -> Finding:
    """A problem with a way out that there still is: most settings of a run stay as they were."""
    fix: dict[str, Value] = dict(problem.fix)
    text = _sentence(f"{label_of(problem.field)}: {problem.message}")
    if not fix or not set(fix) <= set(_CAN_MOVE):
        if fix:
            text += ". That stays as it was where a run goes on"
        back = ended.run.device
        fix = {} if wanted.device == back else {"device": back}
    words = _fix_words(fix, problem.field, around)
    return Finding("error", text, problem.field, words, "fix" if fix else "", tuple(fix.items()))


def _fix_words(fix: dict[str, Value], field: str, around: Surroundings) -> str:
    if not fix:
        return ""
    name = field if field in fix else next(iter(fix))
    value = fix[name]
    if name == "device":
        return f"Use {around.short_title(str(value))}"
    return f"Use {short(spoken(value, run_parameters()[name]))}"


def _possible(ended: EndedRun, wanted: RunSpec, around: Surroundings) -> Finding:
    start = (
        f"from step {ended.done:,}" if ended.done else "from the beginning: it has no checkpoint"
    )
    device = card_name(wanted.device) or around.short_title(wanted.device)
    by = f" by {wanted.card_backend}" if card_name(wanted.device) else ""
    precision = precision_words(wanted)
    more = wanted.steps - ended.done
    return Finding(
        "success", f"It can go on {start}: {more:,} more steps on {device}{by} in {precision}."
    )


def _warnings(model: ModelSpec, wanted: RunSpec, known: Known) -> list[Finding]:
    """What keeps nobody from going on, and is better known before."""
    found = []
    if card_name(wanted.device):
        found.append(Finding("warning", f"Training on cards is {NOT_VERIFIED}."))
    device = known.around.device(wanted.device)
    verdict = fit(model, wanted, device)
    if verdict.verdict == "does not fit" and verdict.capacity_bytes is not None:
        found.append(
            Finding(
                "warning",
                f"It needs about {binary_bytes(verdict.needed_bytes)}, and {verdict.title} has "
                f"{binary_bytes(verdict.capacity_bytes)}: it may be ended for want of memory.",
            )
        )
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def precision_words(run: RunSpec) -> str:
    """What people call the precision of a run."""
    return short(spoken(run.precision, run_parameters()["precision"]))
