"""The donut in words and numbers: which slices there are, their formulas, shares and counts."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cost.parameters import ParameterCount, formula
from engine.families.weight import GROUPS, Weight
from engine.spec import ModelSpec

COMPONENT_NAMES = {
    "embedding": "Embedding",
    "position": "Positions",
    "attention": "Attention",
    "mlp": "Feed-forward",
    "norm": "Norms",
    "head": "Output head",
}
_PART_NAMES = {
    "q_proj": "Query",
    "k_proj": "Key",
    "v_proj": "Value",
    "o_proj": "Output",
    "gate_proj": "Gate",
    "up_proj": "Up",
    "down_proj": "Down",
    "input_layernorm": "Norm 1",
    "post_attention_layernorm": "Norm 2",
}
_EMPTY_REASONS = {
    "position": {
        "rope": "RoPE turns queries and keys: nothing to learn.",
        "alibi": "ALiBi lowers scores with distance: nothing to learn.",
        "sinusoidal": "Sinusoidal positions are computed: nothing to learn.",
        "none": "This design has no positions.",
    },
}


@dataclass(frozen=True)
class Slice:
    """One slice of the donut and one row of its table.

    Attributes:
        component: whose colour it wears (a key of ``Theme.components``).
        shade: its tone among the slices of that component; 0 is the plain colour.
        name: in words.
        count: parameters, exact.
        share: of the whole donut, 0 to 1.
        shape: of a weight, "256 × 256"; empty for a component.
        formula: how the count comes about, numbers filled in; or why there is nothing.
        opens: whether a click goes into a block.
    """

    component: str
    shade: int
    name: str
    count: int
    share: float
    shape: str
    formula: str
    opens: bool


@dataclass(frozen=True)
class Ring:
    """A whole donut: the model's components, or one block's weights."""

    slices: tuple[Slice, ...]
    total: int
    in_block: bool


def model_ring(spec: ModelSpec, count: ParameterCount) -> Ring:
    """The model by component: always the same six rows, some of them empty."""
    slices = []
    for group in GROUPS:
        number = count.groups.get(group, 0)
        name = COMPONENT_NAMES[group]
        text = formula(group, spec) if number else _why_empty(group, spec)
        share = number / count.total
        slices.append(Slice(group, 0, name, number, share, "", text, group in count.block))
    return Ring(tuple(slices), count.total, in_block=False)


def block_ring(spec: ModelSpec, count: ParameterCount) -> Ring:
    """One block by weight; a bias is counted with its matrix."""
    parts: dict[str, list[Weight]] = {}
    for weight in count.weights:
        if weight.in_block:
            parts.setdefault(weight.name.split(".")[-2], []).append(weight)
    total = sum(count.block.values())
    shades = dict.fromkeys(GROUPS, -1)
    slices = []
    for part, listed in parts.items():
        group = listed[0].group
        shades[group] += 1
        number = sum(weight.count // weight.copies for weight in listed)
        slices.append(
            Slice(
                group, shades[group], _PART_NAMES.get(part, part), number, number / total,
                " × ".join(f"{size:,}" for size in listed[0].shape), _sum_of(listed), False,
            )
        )  # fmt: skip
    return Ring(tuple(slices), total, in_block=True)


def share_text(share: float) -> str:
    """A share in hundredths of a percent: 88.08 %; never 0 of what is there."""
    if 0.0 < share < 0.00005:
        return "< 0.01 %"
    return f"{100.0 * share:.2f} %"


def share_words(piece: Slice, ring: Ring) -> str:
    """Share and exact count in a sentence: ``88.08 % of the model: 4,563,...``."""
    whole = "of one block" if ring.in_block else "of all parameters"
    return f"{share_text(piece.share)} {whole}"


def _sum_of(listed: list[Weight]) -> str:
    terms = ["·".join(f"{size:,}" for size in weight.shape) for weight in listed]
    total = sum(weight.count // weight.copies for weight in listed)
    left = " + ".join(terms) + (" (bias)" if len(listed) > 1 else "")
    return left if left == f"{total:,}" else f"{left} = {total:,}"


def _why_empty(group: str, spec: ModelSpec) -> str:
    if group == "head":
        return "Tied: it is the embedding matrix, counted once."
    return _EMPTY_REASONS.get(group, {}).get(spec.position, "None in this design.")
