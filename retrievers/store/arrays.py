"""Append-only arrays that may be read while they grow."""

from typing import Any

import numpy as np
import numpy.typing as npt

from llms.arrays import BoolArray, IntArray


class GrowingArray:
    """Rows that are only ever appended; a view taken before never changes.

    Example:
        >>> array = GrowingArray(np.array([1, 2]))
        >>> before = array.view()
        >>> array.append(np.array([3]))
        >>> before.tolist(), array.view().tolist()
        ([1, 2], [1, 2, 3])
    """

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self._buffer = rows
        self._length = len(rows)

    def view(self) -> npt.NDArray[Any]:
        """Return the rows so far, without copying them."""
        return self._buffer[: self._length]

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Add rows at the end; one caller at a time."""
        needed = self._length + len(rows)
        if needed > len(self._buffer):
            buffer = np.empty((max(needed, 2 * self._length, 16), *rows.shape[1:]), dtype=self._buffer.dtype)
            buffer[: self._length] = self.view()
            self._buffer = buffer
        self._buffer[self._length : needed] = rows
        self._length = needed


def is_among(wanted: IntArray, rows: IntArray) -> BoolArray:
    """Return for each of the ascending `rows` whether it is one of the ascending `wanted`.

    Example:
        >>> is_among(np.array([2, 9]), np.array([1, 2, 3])).tolist()
        [False, True, False]
    """
    mask = np.zeros(len(rows), dtype=bool)
    if len(rows) and len(wanted):
        positions = np.searchsorted(rows, wanted)
        positions[positions == len(rows)] = 0
        mask[positions[rows[positions] == wanted]] = True
    return mask
