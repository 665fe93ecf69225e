"""Strict JSON: no key twice, no NaN, no infinite number."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

from llms.errors import StrictJsonError


def parse_json(text: str) -> Any:
    """Return the value of a JSON text that every program reads alike.

    Raises:
        StrictJsonError: for a key given twice in one object, for NaN and infinity, which JSON has not, and for numbers
            that no computer holds.
        ValueError: if it is no JSON (`json.JSONDecodeError`), or an integer has more digits than Python takes.
        RecursionError: if it is nested too deeply.

    Example:
        >>> parse_json('{"a": [1.5]}')
        {'a': [1.5]}
        >>> parse_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ...
        llms.errors.StrictJsonError: the key 'a' is given twice
    """
    return STRICT_DECODER.decode(text)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        msg = f"the key {name!r} is given twice"
        raise StrictJsonError(msg, fault="key")
    return values


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON number"
    raise StrictJsonError(msg, fault="constant")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        msg = f"the number {digits[:40]} is too large"
        raise StrictJsonError(msg, fault="number")
    return number


STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite_float
)
LENIENT_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)
