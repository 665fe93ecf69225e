"""Metadata of documents as values that JSON holds, as far as nothing is lost."""

import datetime as dt
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

_MAX_DEPTH = 100
_ALREADY_PLAIN = frozenset({str, int, bool, type(None)})


def plain_metadata(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """Return metadata whose dates, times and NumPy numbers are texts and numbers that can be stored and filtered by.

    Dates and times become texts in ISO 8601, decimal numbers, UUIDs and paths their text, NumPy numbers Python's,
    arrays, tuples and sets lists (sets in alphabetical order).

    Raises:
        ValueError: for what has no such form, with the key; among them NaN and infinity, which JSON has not.

    Example:
        >>> plain_metadata({"day": dt.date(2026, 1, 1), "price": np.float32(0.5), "tags": ("a", "b")})
        {'day': '2026-01-01', 'price': 0.5, 'tags': ['a', 'b']}
    """
    return {_name(key, ""): _plain(value, str(key), depth=0) for key, value in metadata.items()}


def _plain(value: Any, where: str, *, depth: int) -> Any:
    if type(value) in _ALREADY_PLAIN:  # nearly all there is, in stores of millions
        return value
    if depth > _MAX_DEPTH:
        msg = f"{where} is nested more than {_MAX_DEPTH} deep"
        raise ValueError(msg)
    if isinstance(value, Mapping):
        return {_name(key, where): _plain(part, f"{where}.{key}", depth=depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, where, depth=depth + 1) for part in value]
    if isinstance(value, set | frozenset):
        return _plain(sorted_set(value), where, depth=depth + 1)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), where, depth=depth + 1)
    return plain_scalar(value, where)


def plain_scalar(value: Any, where: str = "value") -> Any:
    """Return a single value as `plain_metadata` stores it.

    Args:
        where: the key it stands under, for the error.

    Raises:
        ValueError: if it has no such form.
    """
    if isinstance(value, Enum):
        return plain_scalar(value.value, where)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat() if value == value else _refuse(value, where)  # pandas' NaT equals nothing
    if isinstance(value, Decimal | uuid.UUID | PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{where!r} is {value}, which JSON has not; leave it out, or give None"
        raise ValueError(msg)
    return value if isinstance(value, str | int | float | None) else _refuse(value, where)


def _name(key: Any, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float | None):
        return json.dumps(key)
    msg = f"{where + ' ' if where else ''}has the key {key!r:.40}, which is no text; name it by one"
    raise ValueError(msg)


def sorted_set(values: Iterable[Any]) -> list[Any]:
    """Return the entries of a set in an order that does not change: by type, then as texts."""
    return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _refuse(value: Any, where: str) -> Any:
    msg = f"{where!r} is a {type(value).__name__}, which is neither text, number, boolean, list, mapping nor date"
    raise ValueError(msg)
