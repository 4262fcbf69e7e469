"""Errors as sentences that say what to do."""

from __future__ import annotations

import errno
import signal
import subprocess

from engine.run_directory import RunDirectory

_ADVICE = {
    errno.ENOSPC: "There is no space left on the disk: free some and try again.",
    errno.EDQUOT: "Your quota on this disk is used up: free some space and try again.",
    errno.EACCES: "You may not do that here: check who owns the file or folder.",
    errno.EPERM: "You may not do that here: check who owns the file or folder.",
    errno.EROFS: "This disk can only be read: choose another folder.",
    errno.ENOENT: "It does not exist: it was moved or deleted, or its name is misspelt.",
    errno.EMFILE: "Too many files are open: close other programs and try again.",
    errno.ENOMEM: "There is not enough free memory: close other programs and try again.",
}


def describe(error: BaseException) -> str:
    """What happened, in words, and what to do about it where that is known."""
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{_ADVICE.get(error.errno, error.strerror or str(error))}"
    text = str(error).strip()
    known = isinstance(error, (ValueError, RuntimeError)) or type(error).__module__ != "builtins"
    return text if text and known else f"{type(error).__name__}: {text}".rstrip(": ")


def describe_exit(process: subprocess.Popen[bytes] | None) -> str:
    """How a worker that said nothing came to its end."""
    code = None if process is None else process.returncode
    if code is None:
        return "The training process is gone without having finished."
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        if name == "SIGKILL":
            return (
                "The training process was killed from outside: by a person, or by the system "
                "because memory ran out (then choose a smaller batch or model)."
            )
        return f"The training process was ended by {name}."
    return f"The training process ended with exit status {code} without having finished."


def describe_interruption(
    directory: RunDirectory, process: subprocess.Popen[bytes] | None, log: str
) -> str:
    """What happened to an interrupted run, what can be done, and the end of its log."""
    steps = directory.checkpoint_steps()
    way_on = (
        f"Resume goes on from the checkpoint of step {steps[-1]:,}."
        if steps
        else "No checkpoint had been written yet: resuming starts from the beginning."
    )
    text = f"{describe_exit(process)} {way_on}"
    return f"{text}\nThe last lines of its log:\n{log}" if log else text
