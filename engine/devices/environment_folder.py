"""The folder of the environment of cards: whose it is, who works in it, what may be deleted."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.devices.environment_error import CardEnvironmentError, disk_full
from engine.devices.interpreter import UNFINISHED

LOCK = "trickster.lock"
DOWNLOADS = "trickster-downloads"
_CONFIGURATION = "pyvenv.cfg"


def refuse_foreign(folder: Path) -> None:
    """Raise CardEnvironmentError where ``folder`` is there and is no environment of ours.

    An environment has a pyvenv.cfg, or a file of ours where its making was cut short.
    """
    try:
        if folder.is_symlink():
            raise _foreign(folder, "is a link")
        if not folder.exists():
            return
        if not folder.is_dir():
            raise _foreign(folder, "is a file")
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise unusable(folder, error) from error
    if names and not names & {LOCK, UNFINISHED, _CONFIGURATION}:
        raise _foreign(folder, "is there already and is no Python environment")


def _foreign(folder: Path, why: str) -> CardEnvironmentError:
    return CardEnvironmentError(
        "folder",
        f"{folder} {why}: nothing in it was touched. Move it away or give it another name, then "
        "try again.",
    )


def unusable(folder: Path, error: OSError) -> CardEnvironmentError:
    """The folder cannot be made, read, written or cleared."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full()
    reason = error.strerror or str(error)
    return CardEnvironmentError(
        "folder",
        f"{folder} cannot be used: {reason}. Check that you may write there, and who owns it.",
    )


def check_space(folder: Path, needed_bytes: int) -> None:
    """Raise CardEnvironmentError where the disk of ``folder`` has less free than that."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise unusable(folder, error) from error
    if free < needed_bytes:
        raise CardEnvironmentError(
            "disk",
            f"making the environment needs {needed_bytes / 1e9:.1f} GB of free disk at {folder}, "
            f"and {free / 1e9:.1f} GB are free: free some space, then try again.",
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int]:
    """Make the folder and keep others from working in it; yields the lock's file descriptor.

    A process that is given the descriptor holds the lock too, so that a pip which outlives a
    killed program keeps the next one out. A folder that is empty in the end is removed again.
    Raises CardEnvironmentError where the folder cannot be written, or somebody else works in it.
    """
    import fcntl  # late: there is none on Windows, where this module is read but never used

    refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(folder, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(lock), (folder / LOCK).stat())
        except BlockingIOError:
            mine = False
        except OSError as error:
            raise unusable(folder, error) from error
        if not mine:
            raise CardEnvironmentError(
                "busy",
                f"{folder} is being made by another Trickster right now: wait until it is done.",
            )
        try:
            yield lock
        finally:
            _remove_if_empty(folder)
    finally:
        os.close(lock)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()


def mark_unfinished(folder: Path) -> None:
    """From now on nobody takes what is in the folder for an environment that works."""
    try:
        (folder / UNFINISHED).touch()
    except OSError as error:
        raise unusable(folder, error) from error


def mark_finished(folder: Path) -> None:
    """The environment is whole."""
    try:
        (folder / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error


def clear(folder: Path) -> None:
    """Delete all that is in the folder but for the lock and the mark. Links are not followed."""
    try:
        for entry in list(folder.iterdir()):
            if entry.name in (LOCK, UNFINISHED):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise unusable(folder, error) from error
