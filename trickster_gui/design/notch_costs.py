"""What one notch more of a row costs, in words: +1 block: +852 K params, +3.29 MiB."""

from __future__ import annotations

from collections.abc import Sequence

from engine.cost.marginal import marginal
from engine.cost.memory import training_memory
from engine.parameter import Value
from engine.run_spec import run_parameters, run_problems
from engine.spec import model_parameters, problems
from engine.words import binary_bytes, short_count
from trickster_gui.design.binding import Part, spoken
from trickster_gui.design.notches import run_values
from trickster_gui.document import Design

_PRICED_RUN = {"batch_size", "seq_len"}
PRICED = frozenset(
    {*_PRICED_RUN, "hidden_dim", "num_layers", "max_seq_len", "num_heads", "num_kv_heads",
     "head_dim", "mlp_dim", "vocab_size"}
)  # fmt: skip


def notch_costs(design: Design, keys: Sequence[tuple[Part, str]]) -> dict[tuple[Part, str], str]:
    """Words for each row; rows at their end are left out."""
    found: dict[tuple[Part, str], str] = {}
    for part, name in keys:
        if name not in PRICED:
            continue
        words = _of_model(design, name) if part == "model" else _of_run(design, name)
        if words:
            found[part, name] = words
    return found


def _of_model(design: Design, name: str) -> str:
    cost = marginal(design.model, design.run, name)
    if cost is None:
        return ""
    step = _step(name, getattr(design.model, name), cost.next_value)
    if not (cost.params_delta or cost.memory_delta_bytes):
        return f"{step}: nothing in this run"
    params = f"{short_count(cost.params_delta, signed=True)} params"
    if not cost.params_delta:
        return f"{step}: {binary_bytes(cost.memory_delta_bytes, signed=True)}"
    return f"{step}: {params}, {binary_bytes(cost.memory_delta_bytes, signed=True)}"


def _of_run(design: Design, name: str) -> str:
    if name not in _PRICED_RUN or problems(design.model):
        return ""
    values = run_values(name, design.run, design.model)
    at = values.index(getattr(design.run, name))
    if at + 1 >= len(values) or values[at] is None:
        return ""
    changed = design.run.replace(**{name: values[at + 1]})
    if run_problems(design.run, design.model) or run_problems(changed, design.model):
        return ""
    before = training_memory(design.model, design.run).peak_bytes
    delta = training_memory(design.model, changed).peak_bytes - before
    return f"{_step(name, values[at], values[at + 1])}: {binary_bytes(delta, signed=True)}"


def _step(name: str, now: Value, then: Value) -> str:
    parameter = model_parameters().get(name) or run_parameters()[name]
    if not (isinstance(now, int) and isinstance(then, int)):
        return spoken(then, parameter)
    unit = parameter.unit.removesuffix("s") if then - now == 1 else parameter.unit
    words = _SHORT.get(unit, "")
    return f"{then - now:+,} {words}".rstrip()


# The row's name says of what; shorter where the unit would crowd out the cost.
_SHORT = {"block": "layer", "blocks": "layers", "head": "head", "heads": "heads"}
