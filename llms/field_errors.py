"""What is wrong with the fields of a validated value, in plain words, and files of such values."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llms.errors import ModelFolderError

_Model = TypeVar("_Model", bound=BaseModel)

_MAX_VALUE_CHARS = 40
# parts of a place that name a kind among several instead of a field
_KIND = re.compile(r"str|int|float|bool|bytes|none|nullable|constrained-\w+|[\w-]+\[.*\]", re.DOTALL)
_KEY = "[key]"

# error type -> what is expected; {} are filled from the error's context
_EXPECTED: Mapping[str, str] = {
    "string_type": "must be a text",
    "string_unicode": "holds half a character (a lone surrogate); remove it",
    "string_too_long": "may have at most {max_length} characters",
    "string_pattern_mismatch": "must be like the pattern {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number with a point, such as 19.90, and without currency",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must map names to values",
    "mapping_type": "must map names to values",
    "model_type": "must map names to values",
    "model_attributes_type": "must map names to values",
    "dataclass_type": "must map names to values",
    "path_type": "must be a path",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must hold at least {min_length}",
    "too_long": "may hold at most {max_length}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "timezone_aware": "must be a time with a zone, such as 2026-03-02T09:30:00+01:00",
    "json_invalid": "is no valid JSON: {error}",
}
_EXPECTED_BY_START: Mapping[str, str] = {
    "datetime_": "must be a time with a zone, such as 2026-03-02T09:30:00+01:00",
    "date_": "must be a date such as 2026-03-02",
}
# for these a value of the wrong kind came, which is said, too
_OF_ANOTHER_KIND = re.compile(r".*_(type|parsing|from_float)$")
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    bytes: "bytes",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
    type(None): "nothing (null)",
}


def describe_errors(error: ValidationError, *, most: int = 1, show_values: bool = False) -> str:
    """Return what is wrong with which field, what was expected and what came.

    Args:
        most: how many faults are named; the others are counted.
        show_values: repeat short values, where they are the reader's own and no customer's.

    Example:
        >>> from pydantic import BaseModel
        >>> class Visit(BaseModel):
        ...     user: str
        >>> try:
        ...     Visit(user=7)
        ... except ValidationError as error:
        ...     describe_errors(error)
        'user: must be a text, got a number'
    """
    found = error.errors(include_url=False)
    shown = "; ".join(describe_field(entry, show_value=show_values) for entry in found[:most])
    return shown if most == 1 or len(found) <= most else f"{shown}; and {len(found) - most} more"


def read_validated(kind: type[_Model], path: Path, *, fault: str, advice: str = "") -> _Model:
    """Return the value of a kind that a JSON file holds.

    Args:
        fault: what the file is not or has not, behind its path in the message of the error.
        advice: what to do about it, at the end of that message.

    Raises:
        ModelFolderError: if the file cannot be read or holds something else.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = describe_errors(error) if isinstance(error, ValidationError) else error
        msg = "; ".join(part for part in (f"{path} {fault}: {reason}", advice) if part)
        raise ModelFolderError(msg) from error


def describe_field(entry: Mapping[str, Any], *, show_value: bool = False) -> str:
    """Return one fault of a validation in words; see `describe_errors`."""
    fault = describe_fault(entry, show_value=show_value)
    if _KEY in entry["loc"]:
        fault = f"the name {entry['loc'][entry['loc'].index(_KEY) - 1]!r} {fault}"
    place = field_of(entry)
    return f"{place}: {fault}" if place else fault


def field_of(entry: Mapping[str, Any]) -> str:
    """Return where a fault lies: names and places in lists, counted from 0 as in JSON, joined by points.

    Example:
        >>> field_of({"loc": ("answers", 0, "function-after[check(), str]"), "type": "", "msg": "", "input": ""})
        'answers.0'
    """
    parts = list(entry["loc"])
    if _KEY in parts:
        parts = parts[: parts.index(_KEY) - 1]
    return ".".join(str(part) for index, part in enumerate(parts) if not index or not _KIND.fullmatch(str(part)))


def describe_fault(entry: Mapping[str, Any], *, show_value: bool = False) -> str:
    """Return one fault without the name of its field; see `describe_errors`."""
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return "is not known here; check the spelling, or remove it"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", entry["msg"]))
    if kind == "string_too_short":
        return "is empty; fill it in" if context["min_length"] == 1 else f"needs {context['min_length']} characters"
    by_start = (words for start, words in _EXPECTED_BY_START.items() if kind.startswith(start))
    expected = _EXPECTED.get(kind) or next(by_start, None)
    if expected is None:
        return f"{entry['msg'][:1].lower()}{entry['msg'][1:]}"
    words = expected.format(**context)
    if show_value and isinstance(entry["input"], str | int | float):
        return f"{words}, got {entry['input']!r:.{_MAX_VALUE_CHARS}}"
    return f"{words}, got {_kind_of(entry['input'])}" if _OF_ANOTHER_KIND.fullmatch(kind) else words


def _kind_of(value: Any) -> str:
    return next((words for kind, words in _KINDS.items() if type(value) is kind), type(value).__name__)
