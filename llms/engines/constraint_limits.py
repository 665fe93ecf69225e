"""How large a constraint may be: what a short request may make an engine unfold."""

import importlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from llms.engines.constraints import Constraint, FreeText, InOrder, JsonSchema, OneOf, Pattern, Text
from llms.errors import ConstraintError

MAX_REPEATS = 1_000  # of one repetition in a pattern
MAX_UNFOLDED = 10_000  # characters of a pattern with its repetitions written out
MAX_COUNT = 100_000  # characters of a text, items of a list
MAX_CHARS = 256_000  # of a constraint as it was given
MAX_VALUES = 20_000  # of a schema, with all that they hold
MAX_DEPTH = 60
MAX_NUMBER = 10.0**15
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LITERAL_KEYS = frozenset({"const", "enum", "default", "examples"})  # values in them are no schemas
_BRACES = re.compile(r"\{(\d*)(?:,(\d*))?\}")

_parser: Any = importlib.import_module("re._parser")  # Python's own reading of patterns


def check_constraint(constraint: Constraint) -> None:
    """Refuse a constraint that would take an engine long to unfold, before it comes near one.

    Raises:
        ConstraintError: with the limit that it is over.

    Example:
        >>> check_constraint(Pattern("((a{1,900}){1,900}){1,900}"))
        Traceback (most recent call last):
        ...
        llms.errors.ConstraintError: the constraint is too large: a pattern with its repetitions written out may have \
10,000 characters; repeat less
    """
    if _num_chars(constraint) > MAX_CHARS:
        _refuse(f"it may have {MAX_CHARS:,} characters", "shorten it")
    _check(constraint)


def _num_chars(constraint: Constraint) -> int:
    match constraint:
        case Text(text) | Pattern(text) | JsonSchema(text):
            return len(text)
        case InOrder(parts) | OneOf(parts):
            return sum(map(_num_chars, parts))
        case FreeText(begun):
            return sum(len(opening) + _num_chars(part) for opening, part in begun)


def _check(constraint: Constraint) -> None:
    match constraint:
        case Pattern(regex):
            _check_pattern(regex)
        case JsonSchema(schema):
            _check_schema(json.loads(schema))
        case InOrder(parts) | OneOf(parts):
            for part in parts:
                _check(part)
        case FreeText(begun):
            for _, part in begun:
                _check(part)


def _check_schema(schema: Any) -> None:
    waiting = [(schema, 0, False)]  # value, depth, whether it is a value and no schema
    num_values = 0
    while waiting:
        value, depth, is_literal = waiting.pop()
        num_values += 1
        if num_values > MAX_VALUES:
            _refuse(f"a schema may hold {MAX_VALUES:,} values", "ask for less")
        if depth > MAX_DEPTH:
            _refuse(f"a schema may nest {MAX_DEPTH} deep", "flatten it")
        if isinstance(value, list):
            waiting += [(part, depth + 1, is_literal) for part in value]
        elif isinstance(value, dict):
            for key, part in value.items():
                if not is_literal:
                    _check_keyword(key, part)
                waiting.append((part, depth + 1, is_literal or key in _LITERAL_KEYS))


def _check_keyword(key: str, value: Any) -> None:
    if isinstance(value, bool):
        return
    if key in _COUNTS and isinstance(value, int | float) and not abs(value) <= MAX_COUNT:
        _refuse(f"{key!r} may be {MAX_COUNT:,} at most, got {_shown(value)}", "lower it")
    if key in _BOUNDS and isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
        _refuse(f"{key!r} may have 15 digits, got {_shown(value)}", "lower it")
    if key == "pattern" and isinstance(value, str):
        _check_pattern(value)
    if key == "patternProperties" and isinstance(value, dict):
        for pattern in value:
            _check_pattern(pattern)


def _shown(value: float) -> str:
    return f"{value}"[:20] if isinstance(value, int) or math.isfinite(value) else "infinity"


def _check_pattern(pattern: str) -> None:
    try:
        size = _unfolded(_parser.parse(pattern))
    except (re.error, OverflowError, RecursionError):  # an engine's own dialect, or a fault that it will name
        size = _roughly_unfolded(pattern)
    if size > MAX_UNFOLDED:
        _refuse(f"a pattern with its repetitions written out may have {MAX_UNFOLDED:,} characters", "repeat less")


def _unfolded(items: Any) -> int:
    return sum(_size(str(kind), content) for kind, content in items)


def _size(kind: str, content: Any) -> int:
    match kind:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, part = content
            times = int(least) + 1 if most == _parser.MAXREPEAT else int(most)
            _check_repeats(times)
            return max(1, _unfolded(part)) * max(1, times)
        case "BRANCH":
            return sum(map(_unfolded, content[1]))
        case "SUBPATTERN":
            return _unfolded(content[-1])
        case "IN":
            return 1
        case _:
            return sum(map(_unfolded, _parts(content))) or 1


def _parts(content: Any) -> Sequence[Any]:
    """Return the patterns in what a look-around or a group of another kind holds."""
    values = content if isinstance(content, tuple) else (content,)
    return [value for value in values if type(value).__name__ == "SubPattern"]


def _roughly_unfolded(pattern: str) -> int:
    """Return a size that no reading of the pattern exceeds: every count may stand within all others."""
    times = 1
    for least, most in _BRACES.findall(pattern):
        count = int((most or least or "1")[:10])
        _check_repeats(count)
        times *= max(1, count)
    return len(pattern) * times


def _check_repeats(times: int) -> None:
    if times > MAX_REPEATS:
        _refuse(f"a repetition may have {MAX_REPEATS:,} times, got {times:,}", "lower it, or leave its end open")


def _refuse(limit: str, remedy: str) -> None:
    msg = f"the constraint is too large: {limit}; {remedy}"
    raise ConstraintError(msg)
