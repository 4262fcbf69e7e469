"""Tables of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], align: str, header: Sequence[str] = ()) -> str:
    """Rows in aligned columns; ``align`` has ``<`` or ``>`` for each column."""
    lines = [list(row) for row in ((header, *rows) if header else rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(align))]
    if header:
        lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(line, widths, align).rstrip() for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    return "  ".join(
        cell.rjust(width) if side == ">" else cell.ljust(width)
        for cell, width, side in zip(cells, widths, align)  # noqa: B905 - rows may be shorter
    )
