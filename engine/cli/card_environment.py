"""``card-environment``: make or mend the Python environment of workers for cards."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from engine.devices.card_environment import make_environment
from engine.devices.environment_progress import DOWNLOAD_BYTES, SIZE_BYTES, Progress
from engine.devices.interpreter import own_environment

HELP = "make the Python environment of workers for Tenstorrent cards"
_ENDING = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else (signal.SIGTERM,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The Python to make it with, and a card on which ttnn trains with it from now on."""
    parser.add_argument(
        "--python", metavar="PATH",
        help="the Python 3.12 or 3.10 to make it with (default: the first one found here)",
    )  # fmt: skip
    parser.add_argument(
        "--device", metavar="NAME", help="let ttnn train on this card with it from now on: n150:0"
    )


def run(arguments: argparse.Namespace) -> int:
    """Tell the progress on standard error, the interpreter's path on standard output."""
    device = "" if arguments.device is None else _card(arguments.device)
    folder = own_environment()
    _tell(
        f"{folder}: ttnn and what the engine needs; about {DOWNLOAD_BYTES / 1e6:.0f} MB are "
        f"downloaded, {SIZE_BYTES / 1e6:.0f} MB of disk in the end"
    )
    before = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        python = make_environment(
            base=None if arguments.python is None else Path(arguments.python),
            device=device, folder=folder, on_progress=_Printer(),
        )  # fmt: skip
    except KeyboardInterrupt:
        _tell("cancelled; what was begun is undone, or made anew the next time")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if device:
        _tell(f"ttnn trains on {device} with it from now on")
    print(python)
    return 0


def _card(name: str) -> str:
    from engine.devices.card import card_name
    from engine.parameter import SpecError

    device = card_name(name)
    if not device:
        raise SpecError("device", f"{name[:40]!r} is not a Tenstorrent card")
    return device


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt  # so that pip ends with us


class _Printer:
    """One line for each step; how far it is within one changes too often for a terminal."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        if progress.text != self._last:
            self._last = progress.text
            _tell(progress.text)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
