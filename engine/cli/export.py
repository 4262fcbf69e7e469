"""``export``: a trained model, or a design, in other tools' words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.spec_file import Design

HELP = "write a run's model, or a design, for other tools"
_TARGETS = {
    "hf": "a model for Hugging Face's transformers",
    "torch": "one Python file that needs only torch and safetensors",
    "tt-train": "design and recipe (no weights) for Tenstorrent's own trainer",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, OUT, --to, and which checkpoint."""
    what = "; ".join(f"{name}: {text}" for name, text in _TARGETS.items())
    parser.add_argument(
        "run", metavar="RUN", help="the run's folder; for tt-train a preset or a design file too"
    )
    parser.add_argument("out", metavar="OUT", help="the new folder to write")
    parser.add_argument("--to", required=True, choices=tuple(_TARGETS), help=what)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--step", type=int, metavar="N", help="the checkpoint of step N")
    which.add_argument(
        "--best", action="store_true", help="the checkpoint of lowest validation loss"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    if arguments.to == "tt-train":
        return _export_design(arguments)
    from engine.interop.export_folder import export_run
    from engine.run_directory import RunDirectory

    out = Path(arguments.out)
    step, names = export_run(
        RunDirectory(arguments.run), arguments.to, out, arguments.step, best=arguments.best
    )
    print(f"step {step:,} written to {out}: {', '.join(names)}")
    return 0


def _export_design(arguments: argparse.Namespace) -> int:
    from engine.interop.export_folder import export_design
    from engine.interop.export_tt_train import tt_train_notes
    from engine.parameter import SpecError

    if arguments.step is not None or arguments.best:
        raise SpecError(
            "step", "design and recipe are the same at every step: leave --step and --best out"
        )
    design = _design(arguments.run)
    out = Path(arguments.out)
    names = export_design(design.model, design.run, design.title, out)
    print(f"written to {out}: {', '.join(names)}")
    for note in tt_train_notes(design.model, design.run):
        print(f"  {note}")
    return 0


def _design(named: str) -> Design:
    """The design of a run's folder, or of whatever else names one."""
    from engine.run_directory import RunDirectory
    from engine.spec_file import Design, load_design

    folder = Path(named).expanduser()
    if not folder.is_dir():
        return load_design(named)
    record = RunDirectory(folder).record()
    return Design(record.model, record.run, record.title)
