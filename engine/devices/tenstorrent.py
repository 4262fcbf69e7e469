"""The Tenstorrent cards of this computer, from all who can tell, without ttnn."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.devices.interpreter import candidates
from engine.devices.simulator import Simulator, simulator
from engine.devices.tenstorrent_boards import PresentCard, boards_of, merge_sources
from engine.devices.tenstorrent_smi import smi_readings
from engine.devices.tenstorrent_sysfs import CLASS_FOLDER, driver_readings
from engine.devices.tenstorrent_umd import interpreter_of_smi, umd_readings

DEVICE_FOLDER = Path("/dev/tenstorrent")


@dataclass(frozen=True)
class Discovery:
    """The cards that were found, and what each source failed to tell, in words."""

    cards: tuple[PresentCard, ...]
    problems: tuple[str, ...] = ()


def present_cards(root: Path = CLASS_FOLDER) -> tuple[PresentCard, ...]:
    """Cards that the kernel driver shows, one entry a board: some files are read, nothing more.

    Where a simulator stands in for cards, it is all that there is.
    """
    simulated = simulator()
    return boards_of(driver_readings(root)) if simulated is None else _of(simulated).cards


def discover(
    *,
    stop: Callable[[], bool] = lambda: False,
    root: Path = CLASS_FOLDER,
    device_folder: Path = DEVICE_FOLDER,
    interpreters: Sequence[Path] | None = None,
) -> Discovery:
    """All cards, from the driver's files, then tt-smi, then tt_umd; later ones only fill gaps.

    The tools may take seconds: not for a window's own thread. ``stop`` ends the wait for them.
    Where a simulator stands in for cards, nobody is asked.
    tt_umd is asked under ``interpreters`` (default: tt-smi's, those that a worker could run
    under, and the one on the path) and only where there is a ``device_folder``, without which it
    can see nothing.
    """
    simulated = simulator()
    if simulated is not None:
        return _of(simulated)
    driver = driver_readings(root)
    smi, smi_problem = smi_readings(stop)
    if not device_folder.is_dir() or stop():
        interpreters = ()
    elif interpreters is None:
        interpreters = _usual_interpreters()
    umd, umd_problem = umd_readings(interpreters, stop)
    cards = boards_of(merge_sources(driver, smi, umd))
    return Discovery(cards, tuple(problem for problem in (smi_problem, umd_problem) if problem))


def _of(simulated: Simulator) -> Discovery:
    cards = () if simulated.card is None else (simulated.card,)
    return Discovery(cards, (simulated.problem,) if simulated.problem else ())


def _usual_interpreters() -> tuple[Path, ...]:
    found = shutil.which("python3")
    likely = (interpreter_of_smi(), *candidates(), Path(found) if found else None)
    return tuple(dict.fromkeys(path for path in likely if path is not None))
