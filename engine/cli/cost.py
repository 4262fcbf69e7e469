"""``cost``: memory, arithmetic, time and fit of a design and its training run."""

from __future__ import annotations

import argparse
import dataclasses
import json

from engine.cli.design import add_changes, add_spec, changed_design
from engine.cli.table import table
from engine.cost.cache import CACHE_FORMATS, kv_cache_bytes, kv_cache_bytes_per_token
from engine.cost.calibration import Calibration, load_calibration
from engine.cost.doubling import COSTS, Doubling, doublings
from engine.cost.evaluation import Cost, evaluate
from engine.cost.fit import Fit
from engine.cost.remedies import Remedy, remedies
from engine.cost.time import Estimate
from engine.devices.card import Device, load_cards
from engine.devices.host import host_devices, resolve_device
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec
from engine.words import (
    binary_bytes,
    duration,
    exact_count,
    percent,
    short_count,
    short_flops,
    short_rate,
)

HELP = "say what a design costs: memory by phase, FLOPs, time, and what it fits"
_OPTIONS = ("batch", "seq", "precision", "optimizer", "accumulation", "steps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, the settings of the run that change its cost, and --json."""
    add_spec(parser)
    add_changes(parser, _OPTIONS)
    parser.add_argument("--device", metavar="NAME", help="only this device or card")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print the cost."""
    spec, settings, title = changed_design(arguments, _OPTIONS)
    check_run(settings, spec)
    if arguments.device is not None:
        devices: tuple[Device, ...] = (resolve_device(arguments.device),)
        settings = settings.replace(device=devices[0].name)
    else:
        devices = (*host_devices(), *load_cards())
    calibration = _calibration(settings, devices)
    cost = evaluate(spec, settings, devices, calibration)
    on_chip = settings.replace(device=cost.device or settings.device, batch_size=cost.chip_batch)
    chosen = next((device for device in devices if device.name == cost.device), None)
    more = More(remedies(spec, on_chip), doublings(spec, settings, chosen, calibration))
    if arguments.json:
        print(json.dumps(_document(cost, more, spec, title), indent=2))
    else:
        print(_report(cost, more, spec, settings, title))
    return 0


def _calibration(settings: RunSpec, devices: tuple[Device, ...]) -> Calibration | None:
    for device in devices:
        if device.kind != "card" and settings.device in ("auto", device.name):
            found = load_calibration(device.name)
            if found is not None:
                return found
    return None


@dataclasses.dataclass(frozen=True)
class More:
    """What is worked out for a report only: too slow for a slider, or nothing for one."""

    remedies: tuple[Remedy, ...]
    doublings: tuple[Doubling, ...]


def _document(cost: Cost, more: More, spec: ModelSpec, title: str) -> dict[str, object]:
    memory = dataclasses.asdict(cost.memory)
    return {
        "title": title,
        "params": cost.parameters.total,
        "flops_per_token": cost.flops.training,
        "flops": {
            "forward_per_token": cost.flops.forward,
            "training_per_token": cost.flops.training,
            "parts": cost.flops.parts,
            "other_per_token": cost.flops.other,
            "seq_len": cost.flops.seq_len,
            "note": cost.flops.note,
            "run": cost.run_flops,
        },
        "memory": memory,
        "remedies": [
            {
                "words": remedy.change.words,
                "price": remedy.change.price,
                "changes": remedy.change.run | remedy.change.model,
                "saved_bytes": remedy.saved_bytes,
                "peak_bytes": remedy.peak_bytes,
                "peak_phase": remedy.peak_phase,
            }
            for remedy in more.remedies
        ],
        "twice": {row.name: row.ratios for row in more.doublings},
        "kv_cache_bytes_per_token": cost.kv_cache_bytes_per_token,
        "kv_cache": {
            name: {
                "bytes_per_token": kv_cache_bytes_per_token(spec, name),
                "full_context_bytes": kv_cache_bytes(spec, spec.max_seq_len, 1, name),
            }
            for name in CACHE_FORMATS
        },
        "inference_bytes": cost.inference_bytes,
        "checkpoint_bytes": cost.checkpoint_bytes,
        "tokens": {"run": cost.run_tokens, "compute_optimal": cost.optimal_tokens},
        "device": cost.device,
        "step_s": None if cost.step is None else dataclasses.asdict(cost.step),
        "total_s": None if cost.total_seconds is None else dataclasses.asdict(cost.total_seconds),
        "fit": [dataclasses.asdict(fit) for fit in cost.fits],
    }


def _report(cost: Cost, more: More, spec: ModelSpec, settings: RunSpec, title: str) -> str:
    tokens = settings.tokens_per_step(spec)
    head = (
        f"{title}: {exact_count(cost.parameters.total)} parameters; {settings.batch_size:,} × "
        f"{settings.sequence_length(spec):,} tokens a batch, {settings.precision}, "
        f"{settings.optimizer}"
    )
    sections = [
        head, _memory(cost, settings), _remedies(cost, more), _arithmetic(cost, tokens),
        _use(cost, spec), _times(cost, settings), _twice(more), _fits(cost),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section)


def _memory(cost: Cost, settings: RunSpec) -> str:
    memory, where = cost.memory, "one device"
    if cost.chip_batch != settings.batch_size:
        where = f"one chip with {cost.chip_batch:,} of the {settings.batch_size:,} sequences"
    rows = [
        [kind, exact_count(size), binary_bytes(size), percent(size / memory.peak_bytes)]
        for kind, size in memory.at_peak.items()
    ]
    rows.append(["peak", exact_count(memory.peak_bytes), binary_bytes(memory.peak_bytes), "100 %"])
    text = table(rows, "<>>>", ("training memory", "bytes", "short", "share"))
    return f"{text}\nat its fullest: {memory.peak_phase} ({where}, tensors only)"


def _remedies(cost: Cost, more: More) -> str:
    if not more.remedies:
        return ""
    rows = [
        [
            remedy.change.words,
            binary_bytes(remedy.peak_bytes),
            "-" + percent(remedy.saved_bytes / cost.memory.peak_bytes),
            remedy.change.price,
        ]
        for remedy in more.remedies
    ]
    return table(rows, "<>><", ("what lowers the peak", "to", "saves", "price"))


def _twice(more: More) -> str:
    rows = [
        [
            row.name,
            *(
                "-" if row.ratios is None or cost not in row.ratios else f"{row.ratios[cost]:.2f}"
                for cost in COSTS
            ),
        ]
        for row in more.doublings
    ]
    header = ("twice the", "parameters", "FLOPs a sequence", "memory", "time a step")
    return table(rows, "<>>>>", header) + "\n(how many times as much as now)"


def _use(cost: Cost, spec: ModelSpec) -> str:
    weights = ", ".join(
        f"{name} {binary_bytes(size)}" for name, size in cost.inference_bytes.items()
    )
    caches = ", ".join(
        f"{name} {binary_bytes(kv_cache_bytes(spec, spec.max_seq_len, 1, name))}"
        for name in CACHE_FORMATS
    )
    rows = (
        ("weights, to use it", weights),
        (f"key/value cache, {spec.max_seq_len:,} tokens", caches),
    )
    return table(rows, "<<")


def _arithmetic(cost: Cost, tokens_per_step: int) -> str:
    flops = cost.flops
    shares = ", ".join(
        f"{part} {percent(number / flops.training)}" for part, number in flops.parts.items()
    )
    other = f"about {exact_count(flops.other)} more, {percent(flops.other / flops.training)}"
    update = short_flops(flops.training * tokens_per_step)
    run_tokens, optimal = short_count(cost.run_tokens), short_count(cost.optimal_tokens)
    cache = exact_count(cost.kv_cache_bytes_per_token)
    rows = (
        ("training a token", f"{exact_count(flops.training)} FLOP: {shares}"),
        ("other arithmetic", f"{other}: norms, softmax, activations, sums"),
        ("one update", f"{update} for {exact_count(tokens_per_step)} tokens"),
        (
            "whole run",
            f"{short_flops(cost.run_flops)} for {run_tokens} tokens (compute-optimal: {optimal})",
        ),
        ("key/value cache", f"{cache} bytes a token at 16 bits"),
    )
    return table(rows, "<<")


def _times(cost: Cost, settings: RunSpec) -> str:
    if cost.device is None:
        return ""
    if cost.step is None or cost.total_seconds is None:
        return f"time on {cost.device}: unknown (nothing was measured or printed for it)"
    rate = cost.flops.training * cost.run_tokens / (cost.step.seconds * settings.steps)
    return (
        f"time on {cost.device} ({cost.step.kind}): {_range(cost.step)} an update, "
        f"{_range(cost.total_seconds)} for {settings.steps:,} with validation and samples, "
        f"at {short_rate(rate)}\n"
        f"  from {cost.step.source}"
    )


def _range(estimate: Estimate) -> str:
    return f"{duration(estimate.seconds)} ({duration(estimate.low)} … {duration(estimate.high)})"


def _fits(cost: Cost) -> str:
    rows = []
    for fit in cost.fits:
        capacity = "unknown" if fit.capacity_bytes is None else binary_bytes(fit.capacity_bytes)
        margin = "" if fit.margin_bytes is None else binary_bytes(fit.margin_bytes, signed=True)
        rows.append(
            [
                fit.device, fit.placement, capacity, binary_bytes(fit.needed_bytes), fit.verdict,
                margin, _sharded(fit), fit.reason,
            ]
        )  # fmt: skip
    header = ("device", "placement", "a chip has", "needs", "verdict", "left", "sharded", "why")
    return table(rows, "<<>><><<", header)


def _sharded(fit: Fit) -> str:
    if fit.sharded_bytes is None:
        return ""
    return f"{binary_bytes(fit.sharded_bytes)} {fit.sharded_verdict}"
