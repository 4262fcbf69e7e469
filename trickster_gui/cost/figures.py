"""Compute and time in words: what the third part of the view says, each with its exact figure."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cost.cache import CACHE_FORMATS, kv_cache_bytes, kv_cache_bytes_per_token
from engine.cost.evaluation import Cost
from engine.cost.time import Estimate
from engine.devices.card import Device
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.words import binary_bytes, exact_count, percent, short_count, short_flops

PART_NAMES = {
    "projections": "Projections",
    "scores": "Scores",
    "mlp": "Feed-forward",
    "head": "Output head",
}
PART_COMPONENTS = {
    "projections": "attention",
    "scores": "attention",
    "mlp": "mlp",
    "head": "head",
}
_PART_HELP = {
    "projections": "Attention's four matrices: queries, keys, values and output.",
    "scores": "Each token compared with each other, and the weighted sum of values.",
    "mlp": "The feed-forward network of every block.",
    "head": "Scores of every token of the vocabulary.",
}
_UNITS = (("years", 365.25 * 86_400), ("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True)
class Figure:
    """One figure: as a person reads it, the exact number to copy, and what it means."""

    value: str
    exact: str
    meaning: str


def part_figures(cost: Cost) -> dict[str, Figure]:
    """Share of training FLOPs of each part."""
    flops = cost.flops
    figures = {}
    for part, number in flops.parts.items():
        meaning = f"{_PART_HELP[part]}\n{exact_count(number)} FLOPs a token in training."
        if part == "scores":
            meaning += f"\n{flops.note}"
        share = 100 * number / flops.training
        figures[part] = Figure(f"{share:.1f} %", str(number), meaning)
    return figures


def size_figures(spec: ModelSpec, run: RunSpec, cost: Cost) -> dict[str, Figure]:
    """Arithmetic, cache and sizes on disk."""
    flops, cache = cost.flops, cost.kv_cache_bytes_per_token
    full = cache * spec.max_seq_len
    return {
        "Training a token": Figure(
            short_flops(flops.training),
            str(flops.training),
            f"{exact_count(flops.training)} FLOPs a token forward and back, "
            f"{exact_count(flops.forward)} forward, in sequences of "
            f"{flops.seq_len:,} tokens.\nNorms, softmax, activations and sums take about "
            f"{exact_count(flops.other)} more ({percent(flops.other / flops.training)}).",
        ),
        "Whole run": Figure(
            short_flops(cost.run_flops),
            str(cost.run_flops),
            f"{exact_count(cost.run_flops)} FLOPs in {run.steps:,} steps.",
        ),
        "KV cache a token": Figure(
            binary_bytes(cache),
            str(cache),
            f"{exact_count(cache)} bytes: keys and values of all layers in 16 bits, kept for "
            "each token while the model writes.\n"
            f"In fp8 {exact_count(kv_cache_bytes_per_token(spec, 'fp8'))}, in 4 bits with a scale "
            f"for every 32 numbers {exact_count(kv_cache_bytes_per_token(spec, '4-bit'))}.",
        ),
        "KV at full context": Figure(
            binary_bytes(full),
            str(full),
            f"{exact_count(full)} bytes for one sequence of {spec.max_seq_len:,} tokens.\n"
            + ", ".join(
                f"{name}: {binary_bytes(kv_cache_bytes(spec, spec.max_seq_len, 1, name))}"
                for name in CACHE_FORMATS
            ),
        ),
        "Checkpoint": Figure(
            binary_bytes(cost.checkpoint_bytes),
            str(cost.checkpoint_bytes),
            f"{exact_count(cost.checkpoint_bytes)} bytes on disk: weights and optimizer state.",
        ),
    }


def inference_figure(cost: Cost, number_format: str) -> Figure:
    """Memory of the weights for using the model in one number format."""
    size = cost.inference_bytes[number_format]
    lines = [
        f"{name}: {binary_bytes(number)} ({exact_count(number)} bytes)"
        for name, number in cost.inference_bytes.items()
    ]
    meaning = (
        "Weights for using the model, without the KV cache. Click: the next format.\nint8 and nf4 "
        "keep scales, and leave embeddings, norms and the head in 16 bits.\n"
    )
    return Figure(binary_bytes(size), str(size), meaning + "\n".join(lines))


def token_figure(cost: Cost) -> Figure:
    """Tokens of this run beside the compute-optimal number."""
    run, optimal = cost.run_tokens, cost.optimal_tokens
    return Figure(
        f"{short_count(run)} / {short_count(optimal)}",
        str(run),
        f"This run learns from {exact_count(run)} tokens, repeated ones counted again.\n"
        f"About 20 a parameter make the best of a training budget: {exact_count(optimal)} "
        "(Hoffmann et al. 2022).",
    )


def time_lines(
    device: Device | None, total: Estimate | None, measuring: bool
) -> tuple[str, str, str]:
    """The predicted time of the run: the figure, how sure it is, and what it is based on."""
    if device is None:
        return "no device", "", "Choose a device among the memory bars."
    if total is not None:
        likely = "≈ " + " ".join(_rough(total.seconds))
        sure = f"estimate, {range_text(total.low, total.high)}"
        return likely, sure, f"From {total.source}."
    if device.kind == "card":
        why = f"No speed of {device.title} is published, so its time cannot be estimated."
        return "not published", "speed of this card", why
    if measuring:
        return "measuring…", "this machine's speed", "A few short training steps are timed."
    why = "The speed of this machine has not been measured yet: no time can be told."
    return "not measured", "speed of this machine", why


def range_text(low: float, high: float) -> str:
    """A range of times in whole units: ``2–5 min``, ``45 s – 2 min``."""
    first, first_unit = _rough(low)
    last, last_unit = _rough(high)
    if first_unit == last_unit:
        dash = " – " if " " in last else "–"
        return f"{last} {last_unit}" if first == last else f"{first}{dash}{last} {last_unit}"
    return f"{first} {first_unit} – {last} {last_unit}"


def _rough(seconds: float) -> tuple[str, str]:
    for unit, unit_s in _UNITS:
        if seconds >= (2 if unit == "years" else 1) * unit_s:
            number = seconds / unit_s
            if number >= 1e6:
                return "over a million", unit
            return (
                f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")
            ), unit
    if seconds >= 0.0995:
        return f"{seconds:.2g}", "s"
    if seconds >= 0.000_9995:
        return f"{seconds * 1e3:.2g}", "ms"
    return f"{seconds * 1e6:.0f}", "µs"
