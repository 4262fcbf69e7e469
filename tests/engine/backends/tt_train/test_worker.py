"""The worker as a process of its own, under a Python that has no torch (nor ttml)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from engine.events import Failed
from engine.launch import worker_environment
from engine.run_directory import RunDirectory
from tests.engine.backends.tt_train.test_model import LLAMA
from tests.engine.training.tiny import events, new_run

# What the bare engine's Python lacks must not even be tried.
_BARE = "import sys; sys.modules['torch'] = None; from engine.backends.tt_train.worker import main"


def start(directory: RunDirectory) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{_BARE}; sys.exit(main())", str(directory.path)],
        env=worker_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_without_ttml_it_says_what_is_missing_and_ends(tmp_path: Path) -> None:
    directory = new_run(tmp_path, spec=LLAMA, device="n150")
    done = start(directory)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    [failed] = events(directory, Failed)
    assert "tt-train's Python package cannot be used" in failed.message
    assert "docs/tenstorrent.md" in failed.message
    assert directory.state() == "failed"
    assert not directory.worker_alive()
    assert json.loads(directory.worker_file.read_text(encoding="utf-8"))["pid"]


def test_a_folder_without_a_run_is_bad_input(tmp_path: Path) -> None:
    done = start(RunDirectory(tmp_path))
    assert done.returncode == 2
    assert "holds no run" in done.stderr
