"""The four plots: loss above, learning rate, gradient norm and speed below, one crosshair."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from trickster_gui.monitor import readings
from trickster_gui.monitor.axes import ReadableAxis
from trickster_gui.monitor.columns import Array
from trickster_gui.monitor.curves import LossCurves, thin_pen
from trickster_gui.monitor.decimation import visible
from trickster_gui.monitor.floors import Floors
from trickster_gui.monitor.ranges import coarse_end, coarse_range
from trickster_gui.monitor.traces import Reading, Traces, XKind
from trickster_gui.theme import Theme

SMALL_PLOTS = (
    ("lr", "Learning rate", "plain"),
    ("grad_norm", "Gradient norm", "plain"),
    ("tokens_per_s", "Tokens per second", "count"),
)
_SERIES_COLOUR = {"lr": "lr", "grad_norm": "grad_norm", "tokens_per_s": "speed"}
X_STYLES: dict[XKind, str] = {"step": "count", "tokens": "count", "seconds": "seconds"}
_MAX_COLUMNS = 1_000
_MAX_MARKERS = 300
# Below this height the small plots leave their room to the loss.
_SMALL_PLOTS_FROM_PX = 190
_TITLE_PX = 15.0


class Plots(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Draws Traces. ``refresh`` sets each visible curve once; nothing else draws.

    Wheel and drag zoom, a double click or the key 0 fits everything again, the arrow keys move
    the crosshair.
    """

    pointed = Signal(object)
    zoomed = Signal(bool)
    view_moved = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Loss chart")
        self.setAccessibleDescription(
            "Arrow keys move the crosshair, plus and minus zoom, 0 shows everything."
        )
        self.setMinimumSize(200, 100)
        self.kind: XKind = "step"
        self.log_x = self.log_y = False
        self.following = True
        self.ended = False
        self.last_refresh_points = 0
        self._traces: Traces | None = None
        self._theme: Theme | None = None
        self._cross_x: float | None = None
        self._axes: list[ReadableAxis] = []
        self.loss_plot = self._add_plot("step", "loss", 0, 0, colspan=3)
        self.floors = Floors(self.loss_plot)
        self.curves = LossCurves(self.loss_plot)
        self.small: dict[str, tuple[Any, Any]] = {}
        for column, (name, title, style) in enumerate(SMALL_PLOTS):
            plot = self._add_plot("none", style, 1, column)
            plot.setMouseEnabled(x=False, y=False)
            plot.setTitle(title, size="8pt", justify="left")
            plot.titleLabel.setMaximumHeight(_TITLE_PX)
            plot.layout.setRowFixedHeight(0, _TITLE_PX)
            curve = pg.PlotCurveItem(connect="finite")
            plot.addItem(curve, ignoreBounds=True)
            self.small[name] = (plot, curve)
        layout = self.ci.layout
        layout.setVerticalSpacing(2)
        layout.setHorizontalSpacing(10)
        layout.setContentsMargins(2, 4, 8, 2)
        self._crosses = [self._add_cross(plot) for plot in self._all_plots()]
        view = self.loss_plot.getViewBox()
        view.sigRangeChangedManually.connect(self._zoomed_by_hand)
        view.sigXRangeChanged.connect(self._x_moved)
        self.scene().sigMouseMoved.connect(self._mouse_moved)
        self._show_x_kind()

    # Making

    def _add_plot(self, x_style: str, y_style: str, row: int, column: int, colspan: int = 1) -> Any:
        left = ReadableAxis("left", y_style)
        bottom = ReadableAxis("bottom", "count")
        self._axes += [left, bottom]
        axes = {"left": left, "bottom": bottom}
        # Menus that are never shown would be a third of the time that this takes.
        plot = self.addPlot(row, column, 1, colspan, axisItems=axes, enableMenu=False)
        plot.hideButtons()
        plot.disableAutoRange()
        plot.setClipToView(False)
        left.setWidth(46)
        left.setStyle(maxTickLevel=0)
        bottom.setStyle(maxTickLevel=0)
        bottom.setHeight(20)
        if x_style == "none":
            bottom.setStyle(showValues=False)
            bottom.setHeight(4)
        return plot

    def _add_cross(self, plot: Any) -> Any:
        cross = pg.InfiniteLine(angle=90)
        cross.hide()
        plot.addItem(cross, ignoreBounds=True)
        return cross

    def _all_plots(self) -> list[Any]:
        return [self.loss_plot, *(plot for plot, _ in self.small.values())]

    def apply_theme(self, theme: Theme) -> None:
        """Repaint everything in the colours of ``theme``."""
        self._theme = theme
        self.setBackground(theme.surface)
        font = self.font()
        font.setPointSizeF(8.0)
        for axis in self._axes:
            axis.restyle(theme, font)
        self.floors.restyle(theme, font)
        train, validation = theme.series["train"], theme.series["validation"]
        self.curves.raw.setPen(thin_pen(train, 90))
        self.curves.abandoned.setPen(thin_pen(theme.faint, 110))
        self.curves.smoothed.setPen(thin_pen(train))
        self.curves.validation.setPen(thin_pen(validation))
        self.curves.points.setBrush(QColor(validation))
        self.curves.points.setPen(thin_pen(theme.surface))
        self.curves.best.setPen(thin_pen(validation, 150, Qt.PenStyle.DotLine))
        self.curves.best.label.setColor(QColor(validation))
        self.curves.best.label.setFont(font)
        for cross in self._crosses:
            cross.setPen(thin_pen(theme.text, 140))
        for name, (plot, curve) in self.small.items():
            curve.setPen(thin_pen(theme.series[_SERIES_COLOUR[name]]))
            plot.setTitle(plot.titleLabel.text, color=theme.muted, size="8pt", justify="left")
        for plot in self._all_plots():
            plot.getViewBox().setBorder(None)
        self._grid(theme)

    def _grid(self, theme: Theme) -> None:
        for plot in self._all_plots():
            plot.showGrid(x=False, y=False)
        self.loss_plot.getAxis("left").setGrid(40 if theme.name == "light" else 60)

    # What is shown

    def show_traces(self, traces: Traces | None) -> None:
        """Draw these from now on."""
        self._traces = traces
        self._cross_x = None
        self.floors.clear()
        self.fit()

    def set_kind(self, kind: XKind) -> None:
        """What the x axis counts."""
        if kind != self.kind:
            self.kind = kind
            self._cross_x = None
            self._show_x_kind()
            self.fit()

    def set_logarithmic(self, *, x: bool, y: bool) -> None:
        """Logarithmic axes."""
        self.log_x, self.log_y = x, y
        for plot in self._all_plots():
            plot.getAxis("bottom").logarithmic = x
        self.loss_plot.getAxis("left").logarithmic = y
        self.fit()

    def _show_x_kind(self) -> None:
        self.loss_plot.getAxis("bottom").show_as(X_STYLES[self.kind])

    def fit(self) -> None:
        """Show everything and follow the run again."""
        self.following = True
        self.zoomed.emit(False)
        self._forget_ranges()
        self.refresh()

    def _forget_ranges(self) -> None:
        self._ranges: dict[int, tuple[float, float]] = {}
        self._x_range: tuple[float, float] | None = None

    def refresh(self) -> None:
        """Set every visible curve once from the traces as they are now."""
        traces = self._traces
        if traces is None or self._theme is None or not traces.history.segments:
            self._clear()
            return
        if self.following:
            self._follow(traces)
        edges = self._edges()
        curves = self.curves
        drawn = self._set(curves.abandoned, *traces.abandoned(self.kind, edges), self.log_y)
        drawn += self._set(curves.raw, *traces.line("loss", self.kind, edges), self.log_y)
        drawn += self._set(curves.smoothed, *traces.line("smoothed", self.kind, edges), self.log_y)
        self._set_validation(traces, edges)
        for name, (plot, curve) in self.small.items():
            if plot.isVisible():
                x, y = traces.line(name, self.kind, edges)
                drawn += self._set(curve, x, y, False)
                if self.following:
                    self._fit_small(plot, y)
        self.last_refresh_points = drawn
        started = traces.history.started
        self.floors.show({} if started is None else started.floors, logarithmic=self.log_y)
        self._set_best(traces)
        self._move_cross()

    def _clear(self) -> None:
        curves = self.curves
        small = [curve for _, curve in self.small.values()]
        for item in (curves.abandoned, curves.raw, curves.smoothed, curves.validation, *small):
            item.setData(np.empty(0), np.empty(0))
        self.curves.points.setData([], [])
        self.curves.best.hide()

    def _columns(self) -> int:
        return min(max(int(self.loss_plot.getViewBox().width()), 100), _MAX_COLUMNS)

    def _edges(self) -> Array:
        low, high = self.loss_plot.getViewBox().viewRange()[0]
        edges = np.linspace(low, high, self._columns() + 1)
        return 10.0 ** np.clip(edges, -3.0, 300.0) if self.log_x else edges

    def _set(self, item: Any, x: Array, y: Array, log_y: bool) -> int:
        if self.log_x:
            x = _log10(x)
            keep = np.isfinite(x)
            x, y = x[keep], y[keep]
        y = _log10(y) if log_y else np.where(np.isfinite(y), y, np.nan)
        item.setData(x, y)
        return len(x)

    def _set_validation(self, traces: Traces, edges: Array) -> None:
        x, y = traces.validation(self.kind)
        if len(x) > 2 * self._columns():
            x, y = visible(x, y, edges)
        self._set(self.curves.validation, x, y, self.log_y)
        if len(x) > _MAX_MARKERS:
            self.curves.points.setData([], [])
        else:
            shown_x, shown_y = self.curves.validation.getData()
            if shown_x is None:
                shown_x = shown_y = np.empty(0)
            known = np.isfinite(shown_y)
            self.curves.points.setData(shown_x[known], shown_y[known])

    # Ranges

    def _follow(self, traces: Traces) -> None:
        last = traces.last_x(self.kind)
        total = None if self.ended else traces.total_x(self.kind)
        end = last if self.ended and last > 0 else coarse_end(last, total)
        smallest = self._first_x(traces)
        wanted = (
            (math.log10(smallest), math.log10(max(end, 2 * smallest))) if self.log_x else (0, end)
        )
        if wanted != self._x_range:
            self._x_range = wanted
            self.loss_plot.setXRange(*wanted, padding=0.0)
        extent = traces.loss_extent(self.kind, self._edges())
        if extent is None:
            return
        if self.log_y:
            extent = (math.log10(max(extent[0], 1e-4)), math.log10(max(extent[1], 2e-4)))
        self._fit(self.loss_plot, *extent)

    def _first_x(self, traces: Traces) -> float:
        """Where a logarithmic axis begins: the first point beyond 0."""
        columns = traces.history.segments[0].steps.column(self.kind)[:2]
        return next((float(value) for value in columns if value > 0.0), 1.0)

    def _fit(self, plot: Any, low: float, high: float) -> None:
        wanted = coarse_range(low, high, self._ranges.get(id(plot)))
        if wanted != self._ranges.get(id(plot)):
            self._ranges[id(plot)] = wanted
            plot.setYRange(*wanted, padding=0.0)

    def _fit_small(self, plot: Any, y: Array) -> None:
        finite = y[np.isfinite(y)]
        if len(finite):
            high = float(np.quantile(finite, 0.995)) if len(finite) > 200 else float(finite.max())
            self._fit(plot, 0.0, max(high * 1.05, 1e-12))

    # Floors, best, crosshair

    def _x_moved(self, _: object, x_range: tuple[float, float]) -> None:
        """The small plots show the same stretch: pyqtgraph's own link aligns them by pixels."""
        for plot, _curve in self.small.values():
            plot.setXRange(*x_range, padding=0.0)
        self.view_moved.emit()

    def floor_labels(self) -> list[str]:
        """The labels beside the chart, from the highest floor down."""
        return self.floors.labels()

    def _set_best(self, traces: Traces) -> None:
        x, best = traces.best_x(self.kind), traces.history.best
        if x is None or best is None or (self.log_x and x <= 0):
            self.curves.best.hide()
            return
        at = math.log10(x) if self.log_x else x
        low, high = self.loss_plot.getViewBox().viewRange()[0]
        right = at > (low + high) / 2
        self.curves.best.label.anchors = [(1.05, 0.5)] * 2 if right else [(-0.05, 0.5)] * 2
        self.curves.best.setValue(at)
        self.curves.best.label.setFormat(f"best {readings.loss(best.loss)}")
        self.curves.best.show()

    def reading(self) -> Reading | None:
        """The values under the crosshair, where there is one."""
        if self._traces is None or self._cross_x is None:
            return None
        return self._traces.at(self.kind, self._cross_x)

    def point_at(self, x: float | None) -> None:
        """Put the crosshair at ``x`` (in units of the x axis), or take it away."""
        self._cross_x = x
        self._move_cross()
        self.pointed.emit(self.reading())

    def _move_cross(self) -> None:
        x = self._cross_x
        shown = x is not None and (not self.log_x or x > 0)
        for cross in self._crosses:
            cross.setVisible(shown)
            if shown and x is not None:
                cross.setValue(math.log10(x) if self.log_x else x)

    def _mouse_moved(self, position: QPointF) -> None:
        for plot in self._all_plots():
            view = plot.getViewBox()
            if plot.isVisible() and view.sceneBoundingRect().contains(position):
                x = view.mapSceneToView(position).x()
                self.point_at(10.0**x if self.log_x else x)
                return
        if self._cross_x is not None:
            self.point_at(None)

    # Hands

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.point_at(None)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        super().mouseDoubleClickEvent(event)
        self.fit()

    def _zoomed_by_hand(self, *_: object) -> None:
        if self.following:
            self.following = False
            self.zoomed.emit(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self._step_cross(1 if key == Qt.Key.Key_Right else -1)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            factor = 1.25 if key == Qt.Key.Key_Minus else 0.8
            self._zoomed_by_hand()
            self.loss_plot.getViewBox().scaleBy((factor, 1.0))
        elif key in (Qt.Key.Key_0, Qt.Key.Key_Home):
            self.fit()
        elif key == Qt.Key.Key_Escape and self._cross_x is not None:
            self.point_at(None)
        else:
            event.ignore()
            return
        event.accept()

    def _step_cross(self, direction: int) -> None:
        low, high = self.loss_plot.getViewBox().viewRange()[0]
        if self._cross_x is None:
            at = (low + high) / 2
        else:
            at = math.log10(max(self._cross_x, 1e-9)) if self.log_x else self._cross_x
            at = min(max(at + direction * (high - low) / 100, low), high)
        self.point_at(10.0**at if self.log_x else at)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if not hasattr(self, "small"):  # while the base class is being made
            return
        for plot, _ in self.small.values():
            plot.setVisible(self.height() >= _SMALL_PLOTS_FROM_PX)
        if self.height() >= _SMALL_PLOTS_FROM_PX:
            self.ci.layout.setRowFixedHeight(1, min(max(0.3 * self.height(), 66.0), 130.0))
        self.view_moved.emit()


def _log10(values: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.log10(values)
    return np.where(np.isfinite(result), result, np.nan)
