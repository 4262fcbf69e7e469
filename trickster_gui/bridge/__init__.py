"""Between the window and everything that takes time: the only place with threads and processes."""

from __future__ import annotations

from trickster_gui.bridge.background import Task
from trickster_gui.bridge.launcher import EngineLauncher, Launcher
from trickster_gui.bridge.orders import Elsewhere, RunState, Watched
from trickster_gui.bridge.run_bridge import RunBridge

__all__ = ["Elsewhere", "EngineLauncher", "Launcher", "RunBridge", "RunState", "Task", "Watched"]
