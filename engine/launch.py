"""Starts runs and lists them, without torch: what window and scripts call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.devices.preflight import Preflight, require_ready
from engine.devices.tt_metal import metal_variables
from engine.events import Started, Step, Validation
from engine.locations import cache_home, runs_home
from engine.run_directory import (
    RunDirectory,
    RunDirectoryError,
    RunRecord,
    State,
    events_backwards,
    state_after,
)
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec, check

# What trains: with torch under any Python that has it; on a card, by RunSpec.card_backend, under
# one that has ttnn, and for tt-train ttml.
_TORCH_WORKER = "engine.worker"
_CARD_WORKERS = {
    "ttnn": "engine.backends.tenstorrent.worker",
    "tt-train": "engine.backends.tt_train.worker",
}
_TELLING = ("preparing", "started", "step", "paused", "resumed", "finished", "failed")


@dataclass(frozen=True)
class RunSummary:
    """A run as a list shows it. Numbers are None where the run has not come so far."""

    path: Path
    title: str
    created: float
    state: State
    step: int
    total_steps: int
    loss: float | None
    validation_loss: float | None


def create_run(
    model: ModelSpec, run: RunSpec, title: str, directory: Path | None = None
) -> RunDirectory:
    """Make the folder of a new run; nothing is started yet.

    Without ``directory`` it lies under ``locations.runs_home()``, named by time and title. Raises
    SpecError for specs that cannot be built, RunDirectoryError where the folder holds a run
    already or cannot be written.
    """
    check(model)
    check_run(run, model)
    now = time.time()
    record = RunRecord(
        model=model,
        run=run,
        title=title.strip() or "Run",
        created=now,
        corpus_name=run.corpus,
        corpus_sha256="",
        device=run.device,
        versions={},
    )
    target = RunDirectory(directory) if directory is not None else _new_folder(title, now)
    target.create(record)
    return target


def _new_folder(title: str, now: float) -> RunDirectory:
    """A folder of its own under runs_home(): made here, so that two at once get two."""
    stamp = datetime.fromtimestamp(now).strftime("%Y-%m-%d-%H%M%S")
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "run"
    home = runs_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            path = home / (f"{stamp}-{slug}" if number == 1 else f"{stamp}-{slug}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return RunDirectory(path)
    except OSError as error:
        raise RunDirectoryError(f"cannot make a folder in {home}: {error.strerror}") from error
    raise RunDirectoryError(f"{home} has too many runs of this second")


def discard(directory: RunDirectory) -> None:
    """Remove what ``create_run`` and a preparation that failed have made, and nothing else."""
    files = (
        directory.run_file, directory.events_file, directory.commands_file,
        directory.tokenizer_file, directory.worker_file, directory.lock_file, directory.log_file,
    )  # fmt: skip
    for file in files:
        file.unlink(missing_ok=True)
    for folder in (directory.checkpoints, directory.path):
        try:
            folder.rmdir()
        except OSError:  # somebody else's files are in it
            return


def launch(
    directory: RunDirectory,
    *,
    interpreter: str | os.PathLike[str] | None = None,
    resume: bool = False,
    resume_step: int | None = None,
    steps: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    card_backend: str | None = None,
    ready: Preflight | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker on a run; it outlives this process and writes to the run's log.txt.

    ``resume`` says that the run may have been started before: it goes on from its newest
    checkpoint, or from ``resume_step``, up to ``steps``, on another ``device``, in another
    ``precision`` and by another ``card_backend`` where these are named.
    ``interpreter`` is a Python with torch (default: this one); for a run on a Tenstorrent card one
    with ttnn, and for tt-train ttml (default: the one chosen for that card), which is checked
    first and may take seconds. ``ready`` is what came of that check where it has just been made.

    Raises RunDirectoryError where the run is not there, has a worker already, or was started
    before and ``resume`` is false, and where the worker cannot start; CardNotReadyError with the
    checklist where something is missing that training on the card needs; SpecError for a design
    that cards cannot train.
    """
    record = directory.record()
    moved = {"device": device, "precision": precision, "card_backend": card_backend}
    changes = {name: value for name, value in moved.items() if value is not None}
    wanted = record.run.replace(**changes)
    directory.require_no_worker()
    if not resume and directory.events_file.exists():
        raise RunDirectoryError(f"{directory.path} was started before: resume it")
    named = None if interpreter is None else Path(interpreter)
    card = ready or require_ready(record.model, wanted, named)
    python = named or Path(sys.executable)
    if card is not None:
        assert card.interpreter is not None  # it is among what has to be there
        python = card.interpreter
    command = [
        str(python), "-m", _TORCH_WORKER if card is None else _CARD_WORKERS[wanted.card_backend],
        str(directory.path.resolve()),
        "--from-commands", str(directory.commands_size()),
    ]  # fmt: skip
    told = {"resume_step": resume_step, "steps": steps, **changes}
    for name, value in told.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return _started(command, directory, on_card=card is not None)


def _started(
    command: list[str], directory: RunDirectory, *, on_card: bool
) -> subprocess.Popen[bytes]:
    """The worker, in a session of its own. Raises RunDirectoryError where it cannot start."""
    python = Path(command[0])
    environment = worker_environment(python)
    if on_card:
        environment |= metal_variables(python, environment)
    try:
        with directory.log_file.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=_scratch() if on_card else directory.path,
                start_new_session=True,
            )
    except OSError as error:
        raise RunDirectoryError(f"cannot start {python}: {error}") from error


def _scratch() -> Path:
    """Where a card's worker works: ttnn leaves files of its own in the folder that it is run in."""
    folder = cache_home() / "ttnn"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def worker_environment(python: Path | None = None) -> dict[str, str]:
    """This process's environment, with this very ``engine`` first on Python's path.

    ``python`` is the interpreter of the worker (default: this one).
    """
    environment = dict(os.environ)
    package = Path(__file__).resolve().parent
    other = python is not None and python != Path(sys.executable)
    home = str(engine_alone(package) if other else package.parent)
    earlier = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = home + (os.pathsep + earlier if earlier else "")
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # deterministic matrix products
    # Threads that wait shall not spin in the way of the window: see engine.training.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # glibc gives memory back after every step and takes it anew, page after page, unless told not
    # to: a small model's step had over a thousand page faults, and now some twenty.
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(256 << 20))
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
    return environment


def engine_alone(package: Path) -> Path:
    """A folder through which another interpreter finds this engine, and nothing else of ours.

    Beside an installed engine lie the packages of this interpreter, such as another numpy than
    the worker's: there it is a folder of its own with a link to the engine. Raises OSError where
    that cannot be made.
    """
    if package.parent.name not in ("site-packages", "dist-packages"):
        return package.parent
    folder = cache_home() / "engine-alone"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / package.name
    if not link.is_symlink() or link.readlink() != package:
        aside = folder / f".{package.name}.{os.getpid()}"
        aside.unlink(missing_ok=True)
        aside.symlink_to(package)
        aside.replace(link)
    return folder


def list_runs(folder: Path | None = None) -> tuple[RunSummary, ...]:
    """All runs in ``folder`` (default: runs_home()), newest first.

    Folders that hold no run, or a damaged one, are left out: one bad folder never hides others.
    """
    home = runs_home() if folder is None else folder
    try:
        entries = sorted(home.iterdir())
    except OSError:
        return ()
    found = []
    for entry in entries:
        try:
            found.append(summarize(RunDirectory(entry)))
        except (RunDirectoryError, OSError):
            continue
    return tuple(sorted(found, key=lambda run: run.created, reverse=True))


def summarize(directory: RunDirectory) -> RunSummary:
    """One run in short, read from the end of its log, which may be gigabytes.

    Raises RunDirectoryError or OSError for a folder that holds no readable run.
    """
    record = directory.record()
    last, step, loss, validation = "", 0, None, None
    for event in events_backwards(directory.events_file):
        if not last and event.name in _TELLING:
            last = event.name
        if not step:
            step = int(getattr(event, "step", 0))
        if loss is None and isinstance(event, Step):
            loss = event.loss
        if validation is None and isinstance(event, Validation):
            validation = event.loss
        if last and loss is not None and validation is not None:
            break
        if isinstance(event, Started) and event.step == 0:
            break
    return RunSummary(
        path=directory.path,
        title=record.title,
        created=record.created,
        state=state_after(last, directory.worker_alive()),
        step=step,
        total_steps=record.run.steps,
        loss=loss,
        validation_loss=validation,
    )
