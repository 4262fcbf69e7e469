"""Time from starting the interpreter to the first painted window, and what was imported by then.

Offscreen unless QT_QPA_PLATFORM says otherwise. Each measurement is a process of its own; the
first one is cold in the program's own caches and is printed apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.measure import spread

_CHILD = """
import json, sys, time
from trickster_gui import collector
collector.pause()  # as trickster_gui.__main__ does
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication
from trickster_gui import app as program

class FirstPaint(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and watched is window:
            QTimer.singleShot(0, done)
        return False

def done():
    print(json.dumps({"painted": time.time(), "torch": "torch" in sys.modules,
                      "modules": len(sys.modules)}), flush=True)
    application.quit()

from PySide6.QtCore import QTimer
application = QApplication(sys.argv[:1])
program.prepare(application)
opened = program.Application()
window = opened.window
watcher = FirstPaint()
window.installEventFilter(watcher)
opened.start()
application.exec()
opened.close()
"""


def measure_once(home: str) -> tuple[float, bool]:
    """Seconds from before the process starts until its window has painted; torch imported?"""
    environment = {**os.environ, "TRICKSTER_HOME": home}
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["painted"] - begun, told["torch"]


def main(count: int = 11) -> None:
    """Print the first start, and median and quartiles of the warm ones."""
    with tempfile.TemporaryDirectory() as home:
        first, *warm = [measure_once(home) for _ in range(count)]
    print(f"start to first paint, first: {first[0]:.2f} s")
    print(f"start to first paint, warm:  {spread([seconds for seconds, _ in warm])} s")
    print(f"torch imported: {any(torch for _, torch in [first, *warm])}")


if __name__ == "__main__":
    main()
