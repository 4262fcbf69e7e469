"""``export``: a trained model in other tools' words."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a run's model for other tools"
_TARGETS = {
    "hf": "a model for Hugging Face's transformers",
    "torch": "one Python file that needs only torch and safetensors",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """DIR, OUT, --to, and which checkpoint."""
    what = "; ".join(f"{name}: {text}" for name, text in _TARGETS.items())
    parser.add_argument("run", metavar="DIR", help="the run's folder")
    parser.add_argument("out", metavar="OUT", help="the new folder to write")
    parser.add_argument("--to", required=True, choices=tuple(_TARGETS), help=what)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--step", type=int, metavar="N", help="the checkpoint of step N")
    which.add_argument(
        "--best", action="store_true", help="the checkpoint of lowest validation loss"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    from engine.interop.export_folder import export_run
    from engine.run_directory import RunDirectory

    out = Path(arguments.out)
    step, names = export_run(
        RunDirectory(arguments.run), arguments.to, out, arguments.step, best=arguments.best
    )
    print(f"step {step:,} written to {out}: {', '.join(names)}")
    return 0
