"""Metadata fields as columns in memory, so that filters are a few array operations."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llms.arrays import BoolArray, IntArray
from retrievers.store.arrays import GrowingArray

_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_MISSING, _OTHER, _COMPARABLE = 0, 1, 2


class MetadataColumn:
    """One field of every document; a list counts as several entries of its document."""

    def __init__(self) -> None:
        self._states = GrowingArray(np.zeros(0, dtype=np.uint8))
        self._texts, self._text_owners = GrowingArray(_integers()), GrowingArray(_integers())
        self._numbers, self._number_owners = GrowingArray(np.zeros(0)), GrowingArray(_integers())
        self._codes: dict[str, int] = {}  # of every text that occurs

    def append(self, values: Sequence[Any], *, missing: object) -> None:
        """Add the field's value of further documents; `missing` where one lacks it."""
        first = len(self._states.view())
        self._states.append(np.array([_state(value, missing) for value in values], dtype=np.uint8))
        entries = [
            (first + index, entry)
            for index, value in enumerate(values)
            if value is not missing
            for entry in (value if isinstance(value, list) else [value])
        ]
        texts = [(owner, entry) for owner, entry in entries if isinstance(entry, str)]
        numbers = [(owner, entry) for owner, entry in entries if isinstance(entry, int | float)]
        if texts:
            codes = [self._codes.setdefault(text, len(self._codes)) for _, text in texts]
            self._texts.append(np.array(codes, dtype=np.int64))
            self._text_owners.append(np.array([owner for owner, _ in texts], dtype=np.int64))
        if numbers:
            self._append_numbers([number for _, number in numbers])
            self._number_owners.append(np.array([owner for owner, _ in numbers], dtype=np.int64))

    def is_present(self) -> BoolArray:
        """Return for each document whether it has the field."""
        return np.asarray(self._states.view() != _MISSING, dtype=bool)

    def is_comparable(self) -> BoolArray:
        """Return for each document whether the field is a text, a number or a list."""
        return np.asarray(self._states.view() == _COMPARABLE, dtype=bool)

    def equals_one_of(self, wanted: Iterable[str | float]) -> BoolArray:
        """Return for each document whether one of its entries is among `wanted`."""
        values = list(wanted)
        codes = [self._codes[value] for value in values if isinstance(value, str) and value in self._codes]
        mask = self._owned(self._text_owners, np.isin(self._texts.view(), np.array(codes, dtype=np.int64)))
        for value in values:
            if not isinstance(value, str):
                mask |= self._owned(self._number_owners, self._comparable_numbers(value) == value)
        return mask

    def compares(self, name: str, wanted: str | float) -> BoolArray:
        """Return for each document whether one of its entries of the same kind stands in this order to `wanted`."""
        order = _ORDERS[name]
        if isinstance(wanted, str):
            fits = np.fromiter((order(text, wanted) for text in self._codes), dtype=bool, count=len(self._codes))
            return self._owned(self._text_owners, fits[self._texts.view()])
        return self._owned(self._number_owners, order(self._comparable_numbers(wanted), wanted))

    def _owned(self, owners: GrowingArray, fits: npt.NDArray[Any]) -> BoolArray:
        mask = np.zeros(len(self._states.view()), dtype=bool)
        mask[owners.view()[np.asarray(fits, dtype=bool)]] = True
        return mask

    def _append_numbers(self, numbers: Sequence[float]) -> None:
        if self._numbers.view().dtype != object and not all(map(_is_exact, numbers)):
            self._numbers = GrowingArray(self._numbers.view().astype(object))
        self._numbers.append(np.array(numbers, dtype=self._numbers.view().dtype))

    def _comparable_numbers(self, value: float) -> npt.NDArray[Any]:
        """Return the numbers, as Python's own where a float64 would round one side."""
        numbers = self._numbers.view()
        return numbers if _is_exact(value) else numbers.astype(object)


class MetadataColumns:
    """The fields that filters have asked for so far, over documents in ascending order of their rows."""

    def __init__(self) -> None:
        self._rows = GrowingArray(_integers())
        self._columns: dict[str, MetadataColumn] = {}

    @property
    def rows(self) -> IntArray:
        """The row numbers that a column's entries belong to."""
        return self._rows.view()

    @property
    def fields(self) -> frozenset[str]:
        """The fields that are columns by now."""
        return frozenset(self._columns)

    def columns(self) -> Mapping[str, MetadataColumn]:
        """Return the columns by field."""
        return self._columns

    def append(self, rows: Sequence[int], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Add documents; their row numbers are larger than all before."""
        self._rows.append(np.array(rows, dtype=np.int64))
        self._fill(self._columns, metadata)

    def add_fields(self, fields: Iterable[str], metadata: Iterable[Mapping[str, Any]]) -> None:
        """Add columns for `fields`, given the metadata of all documents here, in their order."""
        new = {field: MetadataColumn() for field in fields}
        self._fill(new, metadata)
        self._columns |= new

    def _fill(self, columns: Mapping[str, MetadataColumn], metadata: Iterable[Mapping[str, Any]]) -> None:
        missing = object()
        values: dict[str, list[Any]] = {field: [] for field in columns}
        for entry in metadata:
            for field, column in values.items():
                column.append(entry.get(field, missing))
        for field, column in values.items():
            columns[field].append(column, missing=missing)


def _state(value: object, missing: object) -> int:
    if value is missing:
        return _MISSING
    return _COMPARABLE if isinstance(value, str | int | float | list) else _OTHER


def _is_exact(number: float) -> bool:
    """Return whether float64 holds the number as it is."""
    return isinstance(number, float) or -(2**53) <= number <= 2**53


def _integers() -> npt.NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)
