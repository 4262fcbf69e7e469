"""Growing columns of numbers: appended to often, read as plain numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_FIRST_CAPACITY = 256


class Columns:
    """Rows of float64 under fixed names; appending n rows costs O(n) amortised.

    ``column`` returns a view. Rows are never changed once they are in, so a view taken earlier
    stays right (and may be read by another thread) while more rows are appended.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._data = {name: np.empty(_FIRST_CAPACITY) for name in self.names}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, rows: Array) -> None:
        """Append ``rows``, shape (number of rows, number of columns)."""
        self.extend_columns(*rows.T)

    def extend_columns(self, *columns: Array) -> None:
        """Append one array (number of rows,) for each column, in the order of the names."""
        after = self._length + len(columns[0])
        capacity = len(self._data[self.names[0]])
        if after > capacity:
            self.reserve(max(after, 2 * capacity))
        for name, values in zip(self.names, columns, strict=True):
            self._data[name][self._length : after] = values
        self._length = after

    def reserve(self, capacity: int) -> None:
        """Make room for ``capacity`` rows. Where the system hands out memory on first use, room
        that stays unused costs nothing, and later appends need not copy."""
        if capacity <= len(self._data[self.names[0]]):
            return
        for name, old in self._data.items():
            new = np.empty(capacity)
            new[: self._length] = old[: self._length]
            self._data[name] = new

    def column(self, name: str) -> Array:
        """All values of a column so far, shape (number of rows,): a view, not to be written to."""
        return self._data[name][: self._length]
