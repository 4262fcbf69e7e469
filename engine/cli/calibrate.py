"""``calibrate``: measure how fast this computer trains."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from engine.cost.calibration import calibration_path
from engine.devices.host import resolve_device
from engine.run_spec import run_parameters
from engine.words import duration, exact_count, short_rate

HELP = "measure how fast this computer trains (some seconds), so that times can be predicted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda:0 or mps")
    parser.add_argument("--precision", default="fp32", metavar="P", help="fp32, bf16-mixed or bf16")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Measure, save, print."""
    precision = run_parameters()["precision"].parse(arguments.precision)
    device = resolve_device(arguments.device)
    from engine.training.calibrate import calibrate

    calibration = calibrate(device.name, str(precision))
    if arguments.json:
        print(
            json.dumps({"path": str(calibration_path(calibration.device)), **asdict(calibration)})
        )
        return 0
    for point in calibration.points:
        print(
            f"{exact_count(point.tokens_per_step):>8} tokens in {duration(point.seconds):>8}: "
            f"{short_rate(point.rate)} ({point.precision}, {point.threads} threads)"
        )
    print(f"kept in {calibration_path(calibration.device)}")
    return 0
