"""Metadata filters: exact, checked before they are used, a missing field never matches."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from llms.arrays import BoolArray
from llms.texts import check_text
from retrievers.errors import FilterError
from retrievers.store.metadata_columns import MetadataColumn
from retrievers.store.plain_metadata import plain_scalar

_COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
_LISTS = ("$in", "$nin")
_GROUPS = ("$and", "$or")
_NUM_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked filter: one comparison of a field, or a group of conditions.

    Attributes:
        operator: as in the filter; "$not" stands over one part.
        field: of a comparison; None for a group.
        value: what the field is compared with; for `$in` and `$nin` a tuple.
        parts: the conditions of a group.
    """

    operator: str
    field: str | None = None
    value: Any = None
    parts: tuple["Condition", ...] = ()

    def fields(self) -> Iterator[str]:
        """Yield every field that is asked for."""
        if self.field is not None:
            yield self.field
        for part in self.parts:
            yield from part.fields()

    def matches(self, columns: Mapping[str, MetadataColumn]) -> BoolArray:
        """Return for each document whether it matches."""
        if self.operator == "$not":
            return ~self.parts[0].matches(columns)
        if self.operator in _GROUPS:
            join = np.logical_and if self.operator == "$and" else np.logical_or
            return np.asarray(join.reduce([part.matches(columns) for part in self.parts]), dtype=bool)
        column = columns[self.field or ""]
        if self.operator == "$exists":
            return column.is_present() if self.value else ~column.is_present()
        if self.operator in ("$ne", "$nin"):
            wanted = self.value if self.operator == "$nin" else (self.value,)
            return column.is_comparable() & ~column.equals_one_of(wanted)
        if self.operator in ("$eq", "$in"):
            return column.equals_one_of(self.value if self.operator == "$in" else (self.value,))
        return column.compares(self.operator, self.value)


def parse_filter(condition: Mapping[str, Any]) -> Condition:
    """Return a filter as a tree of checked conditions.

    A filter maps a field to a value or to `{operator: value}`, with the operators `$eq $ne $gt $gte $lt $lte
    $in $nin $exists`; `$and`, `$or` take lists of filters, `$not` a filter. Several fields must all match. A
    field that a document lacks matches nothing but `{"$exists": False}` and what `$not` turns round. A field that
    holds a list matches if one of its entries does; `$ne` and `$nin` match if none is equal. Mappings and null can
    only be asked for with `$exists`; text and numbers have no order. A date is compared as the text it is stored as.

    Raises:
        FilterError: for an unknown operator, or a value it cannot compare with.
        InputTextError: for a text no document can hold, such as one with NUL.

    Example:
        >>> parse_filter({"price": {"$lt": 50}}).operator
        '$lt'
    """
    return _all_of(condition, level=0)


def _all_of(condition: object, *, level: int) -> Condition:
    if not isinstance(condition, Mapping) or not condition:
        msg = f"a filter is a non-empty mapping of field to value, got {condition!r}"
        raise FilterError(msg)
    if level > _NUM_LEVELS:
        msg = f"a filter may be nested {_NUM_LEVELS} levels deep; make it flatter"
        raise FilterError(msg)
    return _join([_one(str(name), value, level=level) for name, value in condition.items()])


def _one(name: str, value: Any, *, level: int) -> Condition:
    if name in _GROUPS:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            msg = f"{name} takes a non-empty list of filters, got {value!r}"
            raise FilterError(msg)
        return Condition(name, parts=tuple(_all_of(part, level=level + 1) for part in value))
    if name == "$not":
        return Condition(name, parts=(_all_of(value, level=level + 1),))
    if name.startswith("$"):
        raise FilterError(_unknown(name))
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    if not operators:
        msg = f"the filter on {name!r} is an empty mapping; give a value or an operator"
        raise FilterError(msg)
    return _join([_compare(check_text(name), str(operator), wanted) for operator, wanted in operators.items()])


def _compare(field: str, operator: str, wanted: Any) -> Condition:
    if operator == "$exists":
        return Condition(operator, field, bool(wanted))
    if operator in _LISTS:
        if not isinstance(wanted, list | tuple | set | frozenset):
            msg = f"{operator} on {field!r} takes a list of values, got {wanted!r}"
            raise FilterError(msg)
        return Condition(operator, field, tuple(_plain(field, entry) for entry in wanted))
    if operator not in _COMPARISONS:
        raise FilterError(_unknown(operator))
    return Condition(operator, field, _plain(field, wanted))


def _plain(field: str, value: Any) -> str | float:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, date):
        value = plain_scalar(value, field)  # as it is stored
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, bool):
        return int(value)  # true and false are 1 and 0, in filters as in metadata
    if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
        return value
    msg = f"the filter on {field!r} cannot compare with {value!r}; use text, numbers or booleans"
    raise FilterError(msg)


def _join(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Condition("$and", parts=tuple(parts))


def _unknown(operator: str) -> str:
    known = ", ".join(sorted([*_COMPARISONS, *_LISTS, *_GROUPS, "$exists", "$not"]))
    return f"unknown filter operator {operator!r}; known are {known}"
