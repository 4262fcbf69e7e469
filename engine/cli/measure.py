"""``measure``: training memory, traced through the real training code, beside the formula's."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from engine.cli.design import add_changes, add_spec, changed_design
from engine.cli.table import table
from engine.cost.memory import TrainingMemory, training_memory
from engine.devices.card import Device
from engine.devices.host import resolve_device
from engine.parameter import SpecError
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec
from engine.words import binary_bytes, exact_count

if TYPE_CHECKING:
    from engine.training.real_step import MeasuredStep
    from engine.training.traced_step import Trace

HELP = "trace the memory of the real training code without allocating it, or run it (--real)"
_OPTIONS = ("batch", "seq", "precision", "optimizer", "accumulation", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, the settings of the run that change its memory, --real and --json."""
    add_spec(parser)
    add_changes(parser, _OPTIONS)
    parser.add_argument(
        "--real", action="store_true",
        help="also run two real updates in a process of its own (cpu or cuda)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Trace, run where asked to, and print."""
    spec, settings, title = changed_design(arguments, _OPTIONS)
    device = resolve_device(settings.device)
    settings = check_run(settings.replace(device=device.name), spec)
    if arguments.real and device.kind not in ("cpu", "cuda"):
        raise SpecError("real", f"updates can be measured on cpu or cuda, not on {device.name}")
    from engine.training.traced_step import as_computed_here, traced_run

    counted = as_computed_here(settings)
    memory, trace = training_memory(spec, counted), traced_run(spec, counted)
    real = _real(spec, settings) if arguments.real else None
    if arguments.json:
        print(json.dumps(_document(title, device, memory, trace, real), indent=2))
    else:
        print(_report(title, spec, settings, memory, trace))
        if real is not None:
            print(_real_report(real, memory, trace))
    return 0


def _real(spec: ModelSpec, settings: RunSpec) -> MeasuredStep:
    from engine.training.real_step import measured_step

    return measured_step(spec, settings)


def _document(
    title: str, device: Device, memory: TrainingMemory, trace: Trace, real: MeasuredStep | None
) -> dict[str, object]:
    return {
        "title": title,
        "device": device.name,
        "predicted": {
            "peak_bytes": memory.peak_bytes,
            "peak_phase": memory.peak_phase,
            "step_peak_bytes": memory.step_peak_bytes,
            "phases": {phase.name: phase.bytes for phase in memory.phases},
        },
        "traced": {
            "peak_bytes": trace.peak_bytes,
            "peak_phase": trace.peak_phase,
            "step_peak_bytes": trace.step_peak_bytes,
            "phases": trace.phases,
        },
        "difference": memory.peak_bytes / trace.peak_bytes - 1,
        "real": None if real is None else asdict(real),
    }


def _report(
    title: str, spec: ModelSpec, settings: RunSpec, memory: TrainingMemory, trace: Trace
) -> str:
    predicted = {phase.name: phase.bytes for phase in memory.phases}
    rows = [_row(name, predicted.get(name), size) for name, size in trace.phases.items()]
    rows.append(_row("peak", memory.peak_bytes, trace.peak_bytes))
    header = ("phase", "traced bytes", "short", "formula", "apart")
    head = (
        f"{title}: {settings.batch_size:,} × {settings.sequence_length(spec):,} tokens a batch, "
        f"{settings.precision}, {settings.optimizer}, on {settings.device}"
    )
    foot = f"at its fullest: {trace.peak_phase} (tensors only, as the CPU's kernels need them)"
    return f"{head}\n\n{table(rows, '<>>>>', header)}\n{foot}"


def _row(name: str, predicted: int | None, traced: int) -> list[str]:
    formula = "" if predicted is None else exact_count(predicted)
    apart = "" if predicted is None else _apart(predicted, traced)
    return [name, exact_count(traced), binary_bytes(traced), formula, apart]


def _apart(value: int, truth: int) -> str:
    return f"{100 * (value / truth - 1):+.3f} %"


def _real_report(real: MeasuredStep, memory: TrainingMemory, trace: Trace) -> str:
    rows = [["step, traced", exact_count(trace.step_peak_bytes), ""]]
    sizes = {
        "step, by the formula": memory.step_peak_bytes,
        "live tensors of a real step": real.live_bytes,
        "resident memory of its process": real.resident_bytes,
    }
    for name, size in sizes.items():
        if size is not None:
            rows.append([name, exact_count(size), _apart(size, trace.step_peak_bytes)])
    return "\n" + table(rows, "<>>", ("two real updates", "bytes", "from the trace"))
