"""Whether a run fits one chip of its card, by the memory that its very operations take."""

from __future__ import annotations

from engine.card_graph.peak_memory import graph_peak_memory
from engine.devices.card import card_name, load_cards
from engine.parameter import SpecError, Value
from engine.run_spec import RunSpec, run_problems
from engine.spec import ModelSpec
from engine.words import binary_bytes

# Banks that a chip's DRAM is divided into. ttnn says 12 of an n150 and 8 of a p150; a p100 has an
# eighth less memory, in banks of the same size.
_WORMHOLE_BANKS, _BLACKHOLE_BANKS = 12, {"p100": 7}
_MOST_BLACKHOLE_BANKS = 8


def banks_of(device: str) -> int:
    """Banks of one chip's DRAM of the card ``device`` ("n150:0")."""
    name = card_name(device).partition(":")[0]
    if name.startswith("p"):
        return _BLACKHOLE_BANKS.get(name, _MOST_BLACKHOLE_BANKS)
    return _WORMHOLE_BANKS


def counted_peak(spec: ModelSpec, run: RunSpec) -> int:
    """Bytes that an update takes at most on the run's card. Takes 8 to 40 ms."""
    return graph_peak_memory(spec, run, banks_of(run.device)).peak_bytes


def chip_memory(device: str) -> int:
    """Bytes of one chip of the card ``device``; ValueError where it is no card of the table."""
    name = card_name(device).partition(":")[0]
    for card in load_cards():
        if card.name == name and card.chip_memory_bytes is not None:
            return card.chip_memory_bytes
    raise ValueError(f"{device[:40]!r} is not a Tenstorrent card")


def check_memory(spec: ModelSpec, run: RunSpec) -> int:
    """``counted_peak`` of a run that fits its card; raise SpecError for one that does not.

    The run must be one that engine.devices.card_rules has nothing against.
    """
    peak_bytes = counted_peak(spec, run)
    problem = _memory_problem(spec, run, peak_bytes)
    if problem is not None:
        raise problem
    return peak_bytes


def _memory_problem(spec: ModelSpec, run: RunSpec, peak_bytes: int) -> SpecError | None:
    """Why a run that takes ``peak_bytes`` does not fit its card, with a way out; or None."""
    memory = chip_memory(run.device)
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
    return not run_problems(run, spec) and counted_peak(spec, run) <= memory
