"""All points of a run as text, never thinned out. No Qt: runs in a background thread."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trickster_gui.monitor.columns import Array
from trickster_gui.monitor.history import STEP_COLUMNS, VALIDATION_COLUMNS, History

_WHOLE = frozenset(("step", "tokens", "memory_bytes", "measured_tokens"))
_COLUMNS = ("event", "segment", "abandoned", *STEP_COLUMNS, "measured_tokens")
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Table:
    """One segment's points as they were when the export began (views: nothing is copied)."""

    event: str
    segment: int
    live: int
    columns: dict[str, Array]


def snapshot(history: History) -> tuple[Table, ...]:
    """All points of a history so far; further events do not change it."""
    tables = []
    for segment in history.segments:
        steps = {name: segment.steps.column(name) for name in STEP_COLUMNS}
        tables.append(Table("step", segment.index, segment.live_steps(), steps))
        found = {name: segment.validations.column(name) for name in VALIDATION_COLUMNS}
        tables.append(Table("validation", segment.index, segment.live_validations(), found))
    return tuple(tables)


Row = dict[str, object]


def _rows(tables: Sequence[Table]) -> Iterator[Row]:
    for table in tables:
        names = list(table.columns)
        length = len(table.columns["step"])
        for first in range(0, length, _ROWS_AT_ONCE):
            block = [table.columns[name][first : first + _ROWS_AT_ONCE].tolist() for name in names]
            for offset, values in enumerate(zip(*block, strict=True)):
                row: Row = {
                    "event": table.event,
                    "segment": table.segment,
                    "abandoned": first + offset >= table.live,
                }
                for name, value in zip(names, values, strict=True):
                    row[name] = _exact(name, value)
                yield row


def _exact(name: str, value: float) -> object:
    if math.isnan(value):
        return None if name in _WHOLE else "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if name in _WHOLE else value


def csv_lines(tables: Sequence[Table]) -> Iterator[str]:
    """A heading, then one line a point. No value holds a comma or a quote."""
    yield ",".join(_COLUMNS) + "\n"
    for row in _rows(tables):
        row["abandoned"] = int(bool(row["abandoned"]))
        cells = (row.get(name) for name in _COLUMNS)
        yield ",".join("" if cell is None else str(cell) for cell in cells) + "\n"


def json_lines(tables: Sequence[Table]) -> Iterator[str]:
    """One JSON object a point."""
    for row in _rows(tables):
        yield json.dumps(row, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], Iterator[str]]] = {
    "csv": csv_lines,
    "jsonl": json_lines,
}


def write_points(tables: Sequence[Table], path: Path, kind: str) -> int:
    """Write all points; returns their number. The file appears whole or not at all.

    Raises OSError where it cannot be written.
    """
    aside = path.with_name(f".{path.name}.writing")
    lines = -1 if kind == "csv" else 0
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            for line in FORMATS[kind](tables):
                file.write(line)
                lines += 1
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return lines


def write_bytes(content: bytes, path: Path) -> int:
    """Write a picture whole or not at all; returns its size."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return len(content)
