"""Metadata filters to SQL: exact, parameters only, a missing field never matches."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from llms.texts import check_text
from retrievers.errors import FilterError

__all__ = ["compile_filter"]

_COMPARISONS = {"$eq": "=", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LISTS = {"$in": "IN", "$nin": "NOT IN"}
_GROUPS = {"$and": " AND ", "$or": " OR "}
_NUM_LEVELS = 10
_TEXT = ("text",)
_NUMBER = ("integer", "real", "true", "false")
_TEXT_OR_NUMBER = _TEXT + _NUMBER


def compile_filter(condition: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a filter as an SQL condition over the JSON column `metadata`, and its parameters.

    A filter maps a field to a value or to `{operator: value}`, with the operators `$eq $ne $gt $gte $lt $lte
    $in $nin $exists`; `$and`, `$or` take lists of filters, `$not` a filter. Several fields must all match. A
    field that a document lacks matches nothing but `{"$exists": False}` and what `$not` turns round. Lists,
    mappings and null in metadata can only be asked for with `$exists`; text and numbers have no order.

    Raises:
        FilterError: for an unknown operator, or a value it cannot compare with.
        InputTextError: for a text no document can hold, such as one with NUL.

    Example:
        >>> compile_filter({"price": {"$exists": True}})
        ('((json_type(metadata, ?) IS NOT NULL))', ['$."price"'])
    """
    return _all_of(condition, level=0)


def _all_of(condition: object, *, level: int) -> tuple[str, list[Any]]:
    if not isinstance(condition, Mapping) or not condition:
        msg = f"a filter is a non-empty mapping of field to value, got {condition!r}"
        raise FilterError(msg)
    if level > _NUM_LEVELS:
        msg = f"a filter may be nested {_NUM_LEVELS} levels deep; make it flatter"
        raise FilterError(msg)
    parts = [_one(str(name), value, level=level) for name, value in condition.items()]
    return _join(parts, " AND ")


def _one(name: str, value: Any, *, level: int) -> tuple[str, list[Any]]:
    if name in _GROUPS:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            msg = f"{name} takes a non-empty list of filters, got {value!r}"
            raise FilterError(msg)
        return _join([_all_of(part, level=level + 1) for part in value], _GROUPS[name])
    if name == "$not":
        sql, parameters = _all_of(value, level=level + 1)
        return f"NOT coalesce({sql}, 0)", parameters
    if name.startswith("$"):
        raise FilterError(_unknown(name))
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    if not operators:
        msg = f"the filter on {name!r} is an empty mapping; give a value or an operator"
        raise FilterError(msg)
    return _join([_compare(name, str(operator), wanted) for operator, wanted in operators.items()], " AND ")


def _compare(field: str, operator: str, wanted: Any) -> tuple[str, list[Any]]:
    if '"' in field:
        msg = f"a field name must not hold a double quote, got {field!r}"
        raise FilterError(msg)
    path = f"$.{json.dumps(check_text(field), ensure_ascii=False)}"  # escaped as it is in the column
    if operator == "$exists":
        return f"json_type(metadata, ?) IS {'NOT NULL' if wanted else 'NULL'}", [path]
    if operator in _LISTS:
        if not isinstance(wanted, list | tuple | set | frozenset):
            msg = f"{operator} on {field!r} takes a list of values, got {wanted!r}"
            raise FilterError(msg)
        values = [_plain(field, entry) for entry in wanted]
        marks = ", ".join("?" * len(values))
        return _typed(f"{_LISTS[operator]} ({marks})", _TEXT_OR_NUMBER), [path, path, *values]
    if operator not in _COMPARISONS:
        raise FilterError(_unknown(operator))
    plain = _plain(field, wanted)
    has_order = operator not in ("$eq", "$ne")
    types = (_TEXT if isinstance(plain, str) else _NUMBER) if has_order else _TEXT_OR_NUMBER
    return _typed(f"{_COMPARISONS[operator]} ?", types), [path, path, plain]


def _typed(comparison: str, types: Sequence[str]) -> str:
    """Return a comparison that is false for values of other types; SQLite would put every number before any text."""
    names = ", ".join(f"'{name}'" for name in types)
    return f"json_type(metadata, ?) IN ({names}) AND json_extract(metadata, ?) {comparison}"


def _plain(field: str, value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)  # json_extract gives 1 and 0 for true and false
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, float) and not math.isnan(value):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:  # what SQLite takes
        return value
    msg = f"the filter on {field!r} cannot compare with {value!r}; use text, numbers or booleans"
    raise FilterError(msg)


def _join(parts: Sequence[tuple[str, list[Any]]], word: str) -> tuple[str, list[Any]]:
    sql = word.join(sql for sql, _ in parts)
    return f"({sql})", [parameter for _, parameters in parts for parameter in parameters]


def _unknown(operator: str) -> str:
    known = ", ".join(sorted([*_COMPARISONS, *_LISTS, *_GROUPS, "$exists", "$not"]))
    return f"unknown filter operator {operator!r}; known are {known}"
