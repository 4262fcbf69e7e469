"""Whether a run fits one chip of its card, by the memory that its very operations take."""

from __future__ import annotations

from engine.cost.card_memory import card_peak
from engine.devices.card import card_name, load_cards
from engine.devices.card_rules import unsupported
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec
from engine.words import binary_bytes


def chip_memory(device: str) -> int:
    """Bytes of one chip of the card ``device`` that a run may take; ValueError: it is no card."""
    name = card_name(device).partition(":")[0]
    for card in load_cards():
        if card.name == name and card.chip_memory_bytes is not None:
            return card.chip_memory_bytes - card.overhead_bytes
    raise ValueError(f"{device[:40]!r} is not a Tenstorrent card")


def card_problems(spec: ModelSpec, run: RunSpec) -> tuple[SpecError, ...]:
    """All that keeps a valid run from its card, but for the card itself: what its trainer lacks,
    or else that it does not fit. What tt-train takes is only estimated: nothing is refused for it.
    """
    found = unsupported(spec, run)
    if found or run.card_backend != "ttnn":
        return found
    too_large = memory_problem(spec, run)
    return () if too_large is None else (too_large,)


def check_memory(spec: ModelSpec, run: RunSpec) -> int:
    """``card_peak`` of a run that fits its card; raise SpecError for one that does not.

    The run must be one that engine.devices.card_rules has nothing against.
    """
    problem = memory_problem(spec, run)
    if problem is not None:
        raise problem
    return card_peak(spec, run, run.batch_size)


def memory_problem(spec: ModelSpec, run: RunSpec) -> SpecError | None:
    """Why a run by our own graph does not fit one chip of its card, with a way out; or None."""
    peak_bytes, memory = card_peak(spec, run, run.batch_size), chip_memory(run.device)
    if peak_bytes <= memory:
        return None
    message = (
        f"training needs {binary_bytes(peak_bytes)} on {card_name(run.device)}, one chip of which "
        f"has {binary_bytes(memory)}"
    )
    fix = _way_out(spec, run, memory)
    field = next(iter(fix), "hidden_dim")
    return SpecError(field, message if fix else f"{message}: the model is too large for it", fix)


def _way_out(spec: ModelSpec, run: RunSpec, memory: int) -> dict[str, Value]:
    """The mildest change that makes the run fit: blocks computed again, then smaller batches."""
    fix: dict[str, Value] = {}
    if not run.gradient_checkpointing:
        fix["gradient_checkpointing"] = True
        if _fits(spec, run.replace(**fix), memory):
            return fix
    batch = run.batch_size
    while batch > 1:
        batch //= 2
        fix["batch_size"] = batch
        if _fits(spec, run.replace(**fix), memory):
            return fix
    return {}


def _fits(spec: ModelSpec, run: RunSpec, memory: int) -> bool:
    return not run_problems(run, spec) and card_peak(spec, run, run.batch_size) <= memory
