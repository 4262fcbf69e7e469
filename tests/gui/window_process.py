"""A window in a process of its own, for a test to kill: drags, trains, then waits for its end.

Prints one JSON line when the run has taken its first steps: what the window showed by then.
"""

from __future__ import annotations

import json
import sys

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from trickster_gui import app as program
from trickster_gui.controls.slider import NotchSlider
from trickster_gui.design.rows import NumberRow

SMALL = {"vocab_size": 256, "hidden_dim": 32, "num_heads": 2, "num_kv_heads": 2, "mlp_dim": 64,
         "max_seq_len": 32, "num_layers": 2}  # fmt: skip
RUN = {"steps": 400, "batch_size": 4, "validate_every": 100, "sample_every": 200,
       "validation_tokens": 2_000, "sample_tokens": 20, "save_every": 50, "warmup_steps": 10,
       "threads": 1, "compile": "off"}  # fmt: skip


def drag(slider: NotchSlider, notches: list[int]) -> None:
    """Drag the thumb over these notches with the mouse, one event each."""
    middle, left = slider.height() // 2, Qt.MouseButton.LeftButton
    QTest.mousePress(slider, left, pos=QPoint(round(slider.thumb_x()), middle))
    for notch in notches:
        QTest.mouseMove(slider, QPoint(round(slider.thumb_x(notch)), middle))
    QTest.mouseRelease(slider, left, pos=QPoint(round(slider.thumb_x(notches[-1])), middle))


def main() -> int:
    """Open the window, design by dragging, click Train, tell when it trains, wait to be killed."""
    application = QApplication(sys.argv[:1])
    program.prepare(application)
    opened = program.Application()
    opened.document.edit(SMALL, RUN)
    opened.start()
    application.processEvents()
    before = opened.window.cost.cost.parameters.total
    row = opened.window.design.row("num_layers")
    assert isinstance(row, NumberRow)
    assert row.slider is not None
    drag(row.slider, [2, 3, 2])
    QTest.mouseClick(opened.window.monitor.header.train, Qt.MouseButton.LeftButton)
    timer = QTimer()

    def tell() -> None:
        if opened.window.monitor.history.step >= 3:
            timer.stop()
            opened.save()
            print(json.dumps({
                "params_before": before, "params": opened.window.cost.cost.parameters.total,
                "layers": opened.document.model.num_layers, "torch": "torch" in sys.modules,
            }), flush=True)  # fmt: skip

    timer.timeout.connect(tell)
    timer.start(50)
    return application.exec()


if __name__ == "__main__":
    sys.exit(main())
