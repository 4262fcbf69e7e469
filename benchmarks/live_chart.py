"""What the live chart costs: the training beside it, the window's thread, and long runs.

1. Steps a second of a worker with the monitor open ÷ without any window, in interleaved pairs.
2. How late a 16 ms tick of the window's thread is while a run streams 200 events a second.
3. Milliseconds to move through 10³, 10⁵ and 10⁶ points (set the curves, then paint).

Offscreen unless QT_QPA_PLATFORM says otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QElapsedTimer, Qt, QTimer
from PySide6.QtWidgets import QApplication

from benchmarks.measure import interleaved_ratio, percentile, spread
from engine.events import Started, Step
from engine.launch import create_run, launch, worker_environment
from engine.run_directory import RunDirectory, RunRecord
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.bridge import RunBridge
from trickster_gui.document import Design, Document
from trickster_gui.monitor.chart_panel import ChartPanel
from trickster_gui.monitor.history import History
from trickster_gui.monitor.view import MonitorView
from trickster_gui.theme import ThemeSource

SIZE_PX = (940, 400)
WARM_UP_STEPS = 20
TICK_MS = 16
MODEL = ModelSpec(
    vocab_size=256, hidden_dim=128, num_layers=4, num_heads=4, num_kv_heads=4, mlp_dim=512,
    max_seq_len=64,
)  # fmt: skip

_WRITER = """
import sys, time
from pathlib import Path
from engine.events import Step
from engine.run_directory import EventWriter, RunDirectory
directory, rate, seconds = RunDirectory(Path(sys.argv[1])), float(sys.argv[2]), float(sys.argv[3])
with directory.lock():
    writer, begin, number = EventWriter(directory.events_file), time.time(), 0
    while time.time() - begin < seconds:
        due = int((time.time() - begin) * rate)
        while number < due:
            number += 1
            writer.write(Step(number, number * 768, 5.0 / (1 + number / 50), 1e-3, 0.5, 0.005,
                              1.5e5, 1 << 25))
        time.sleep(0.002)
"""


def run_spec(steps: int, threads: int) -> RunSpec:
    """A run that only trains: no validation, sample or checkpoint in its course."""
    return RunSpec(
        steps=steps, warmup_steps=0, threads=threads, validate_every=0, sample_every=0,
        save_every=0, validation_tokens=1_000, sample_tokens=1, compile="off", device="cpu",
    )  # fmt: skip


def measured_rate(directory: RunDirectory) -> float:
    """Steps a second between the end of the warm-up and the last step, by the worker's clock."""
    steps = [event for event in directory.events() if isinstance(event, Step)]
    if len(steps) <= WARM_UP_STEPS + 1:
        tail = directory.log_file.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"the worker made {len(steps)} steps only:\n{tail}")
    first, last = steps[WARM_UP_STEPS], steps[-1]
    return (last.step - first.step) / (last.time - first.time)


def headless_rate(home: Path, run: RunSpec) -> float:
    """Steps a second with nobody watching."""
    directory = create_run(MODEL, run, "headless", Path(tempfile.mkdtemp(dir=home)) / "run")
    launch(directory).wait()
    return measured_rate(directory)


def watched_rate(application: QApplication, home: Path, run: RunSpec) -> float:
    """Steps a second with the monitor open and drawing."""
    directory = create_run(MODEL, run, "watched", Path(tempfile.mkdtemp(dir=home)) / "run")
    worker = launch(directory)
    bridge, view = open_monitor(run)
    bridge.attach(directory.path)
    pump(application, lambda: worker.poll() is not None)
    close_monitor(application, bridge, view)
    return measured_rate(directory)


def open_monitor(run: RunSpec) -> tuple[RunBridge, MonitorView]:
    bridge = RunBridge()
    view = MonitorView(Document(Design(MODEL, run)), ThemeSource("light"), bridge)
    view.resize(*SIZE_PX)
    view.show()
    return bridge, view


def close_monitor(application: QApplication, bridge: RunBridge, view: MonitorView) -> None:
    view.hide()
    bridge.shutdown()
    view.deleteLater()
    application.processEvents()


def pump(application: QApplication, done: Callable[[], bool]) -> None:
    """Run the event loop, as a window does, until ``done``; looked at ten times a second."""
    timer = QTimer()
    timer.timeout.connect(lambda: application.quit() if done() else None)
    timer.start(100)
    application.exec()


def tick_lateness_ms(application: QApplication, home: Path, seconds: float) -> list[float]:
    """How much longer than 16 ms each tick of the window's thread took to come."""
    directory = RunDirectory(home / "stream")
    directory.create(RunRecord(MODEL, RunSpec(), "stream", time.time(), "", "", "cpu", {}))
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory.path), "200", str(seconds)],
        env=worker_environment(),
    )
    bridge, view = open_monitor(RunSpec())
    bridge.attach(directory.path)
    late: list[float] = []
    clock = QElapsedTimer()
    ticks = QTimer()
    ticks.setTimerType(Qt.TimerType.PreciseTimer)
    ticks.timeout.connect(
        lambda: late.append(max(clock.nsecsElapsed() / 1e6 - TICK_MS, 0.0)) or clock.restart()
    )
    clock.start()
    ticks.start(TICK_MS)
    pump(application, lambda: writer.poll() is not None)
    ticks.stop()
    shown = view.history.step
    close_monitor(application, bridge, view)
    print(f"   {shown:,} events shown, {len(late):,} ticks")
    return late


def long_history(points: int) -> History:
    """A run of so many steps, each logged."""
    history = History()
    history.add([
        Started(0, points, 0, 1, "cpu", "fp32", 768, 10**9, 10**6, 256, {"uniform": 5.545})
    ])  # fmt: skip
    for first in range(1, points + 1, 5_000):
        last = min(first + 5_000, points + 1)
        history.add([
            Step(n, 768 * n, 1.5 + 4 / (1 + n / 50) + (n * 7_919 % 101) / 500, 1e-3,
                 0.5 + (n % 13) / 50, 0.01, 7e4 + n % 997, 1 << 25, 1e9 + n * 0.01)
            for n in range(first, last)
        ])  # fmt: skip
    return history


def pan_ms(application: QApplication, points: int, frames: int) -> list[float]:
    """Milliseconds of this thread's work for each of ``frames`` frames while the run moves by.

    The thread's own clock: what others do on a shared machine is left out.
    """
    chart = ChartPanel(ThemeSource("light"))
    chart.resize(640, 300)
    chart.show()
    chart.show_history(long_history(points))
    application.processEvents()
    view = chart.plots.loss_plot.getViewBox()
    chart.plots.following = False
    found = []
    for frame in range(frames + 3):
        begin = time.thread_time()
        shift = points * 0.002 * (frame % 50)
        view.setXRange(shift, points * 0.9 + shift, padding=0.0)
        chart.plots.refresh()
        chart.plots.viewport().repaint()
        found.append((time.thread_time() - begin) * 1e3)
    chart.hide()
    chart.deleteLater()
    application.processEvents()
    return found[3:]


def ingest_rate(events: int = 1_000_000) -> float:
    """Step events a second that the history takes in, in batches as the bridge sends them."""
    made = [
        Step(n, 768 * n, 2.0, 1e-3, 0.5, 0.01, 7e4, 1 << 25, 1e9 + n * 0.01)
        for n in range(1, events + 1)
    ]
    history = History()
    begin = time.perf_counter()
    for first in range(0, events, 4_000):
        history.add(made[first : first + 4_000])
    return events / (time.perf_counter() - begin)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; --pairs 0 leaves out the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=6, help="pairs of runs (at least 2, or 0)")
    parser.add_argument("--steps", type=int, default=400, help="steps of each run")
    parser.add_argument("--threads", type=int, default=max((os.cpu_count() or 2) - 1, 1))
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the stream")
    options = parser.parse_args(arguments)
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        for points in (1_000, 100_000, 1_000_000):
            frames = pan_ms(application, points, 60)
            print(f"frame while panning {points:>9,} points: {spread(frames)} ms, "
                  f"p99 {percentile(frames, 99):.1f} ms", flush=True)  # fmt: skip
        print(f"history takes in {ingest_rate():,.0f} step events/s", flush=True)
        late = tick_lateness_ms(application, home, options.seconds)
        print(f"16 ms tick at 200 events/s: late by {spread(late)} ms, "
              f"p99 {percentile(late, 99):.1f} ms", flush=True)  # fmt: skip
        if options.pairs:
            run = run_spec(options.steps, options.threads)
            ratio, ratios = interleaved_ratio(
                lambda: watched_rate(application, home, run),
                lambda: headless_rate(home, run),
                options.pairs,
            )
            print(f"steps/s with the live chart ÷ headless: {ratio}")
            print("   " + " ".join(f"{value:.3f}" for value in sorted(ratios)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
