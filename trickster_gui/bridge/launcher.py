"""How runs are made and workers started."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.bridge.orders import Elsewhere


class Launcher(Protocol):
    """Makes runs and starts their workers. Called in the thread that follows the run."""

    def create(self, model: ModelSpec, run: RunSpec, title: str) -> RunDirectory:
        """Make the folder of a new run."""

    def launch(
        self,
        directory: RunDirectory,
        *,
        resume: bool,
        steps: int | None,
        from_step: int | None,
        elsewhere: Elsewhere,
    ) -> subprocess.Popen[bytes]:
        """Start a worker that outlives this process."""

    def runs(self) -> Sequence[Path]:
        """Folders of all runs, the newest first."""


class EngineLauncher:
    """The engine's own workers, under ``interpreter`` (None: the window's, or a card's own)."""

    def __init__(self, interpreter: Path | None = None) -> None:
        self.interpreter = interpreter

    def create(self, model: ModelSpec, run: RunSpec, title: str) -> RunDirectory:
        """Make the folder of a new run under the home of all runs."""
        from engine.launch import create_run

        return create_run(model, run, title)

    def launch(
        self,
        directory: RunDirectory,
        *,
        resume: bool,
        steps: int | None,
        from_step: int | None,
        elsewhere: Elsewhere,
    ) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own."""
        from engine.launch import launch

        return launch(
            directory, interpreter=self.interpreter, resume=resume, resume_step=from_step,
            steps=steps, device=elsewhere.device, precision=elsewhere.precision,
            card_backend=elsewhere.card_backend,
        )  # fmt: skip

    def runs(self) -> Sequence[Path]:
        """Folders of all runs, the newest first."""
        from engine.launch import list_runs

        return [found.path for found in list_runs()]
