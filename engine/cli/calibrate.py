"""``calibrate``: measure how fast this computer trains."""

from __future__ import annotations

import argparse
import json
from typing import cast

from engine.cost.calibration import Calibration, calibration_path, to_dict
from engine.devices.host import resolve_device
from engine.run_spec import run_parameters
from engine.words import duration, percent

HELP = "measure how fast this computer trains (some seconds), so that times can be predicted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda:0 or mps")
    parser.add_argument("--precision", default="fp32", metavar="P", help="fp32, bf16-mixed or bf16")
    parser.add_argument("--threads", metavar="N", help="CPU threads; automatic: one a core")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Measure, save, print."""
    parameters = run_parameters()
    precision = parameters["precision"].parse(arguments.precision)
    threads = None
    if arguments.threads is not None:
        threads = cast("int | None", parameters["threads"].parse(arguments.threads))
    device = resolve_device(arguments.device)
    from engine.training.calibrate import calibrate

    calibration = calibrate(device.name, str(precision), threads)
    path = calibration_path(calibration.device)
    if arguments.json:
        print(json.dumps({"path": str(path), **to_dict(calibration)}))
    else:
        print(_report(calibration))
        print(f"kept in {path}")
    return 0


def _report(calibration: Calibration) -> str:
    lines = []
    for speed in calibration.speeds:
        with_threads = f", {speed.threads} threads" if speed.threads else ""
        shortest = min((step.seconds for step in speed.steps), default=0.0)
        lines.append(
            f"{speed.precision}{with_threads}: {len(speed.steps)} small designs, "
            f"{duration(shortest)} to {duration(speed.largest_s)} an update; "
            f"each foretold from the others to ±{percent(speed.spread)}"
        )
        if speed.contested >= 0.1:
            lines.append(
                f"  other programs wanted {percent(speed.contested)} of these threads meanwhile: "
                "measure again when they rest"
            )
    return "\n".join(lines)
