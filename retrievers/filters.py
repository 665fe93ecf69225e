"""Metadata filters to SQL: exact, parameters only, a missing field never matches."""

from collections.abc import Mapping, Sequence
from typing import Any

from retrievers.errors import FilterError

__all__ = ["compile_filter"]

_COMPARISONS = {"$eq": "=", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LISTS = {"$in": "IN", "$nin": "NOT IN"}
_GROUPS = {"$and": " AND ", "$or": " OR "}
_NUM_LEVELS = 10


def compile_filter(condition: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a filter as an SQL condition over the JSON column `metadata`, and its parameters.

    A filter maps a field to a value or to `{operator: value}`, with the operators `$eq $ne $gt $gte $lt $lte
    $in $nin $exists`; `$and`, `$or` take lists of filters, `$not` a filter. Several fields must all match. A
    field that a document lacks matches nothing but `{"$exists": False}` and what `$not` turns round.

    Raises:
        FilterError: for an unknown operator, or a value it cannot compare with.

    Example:
        >>> compile_filter({"price": {"$lt": 50}})
        ('((json_extract(metadata, ?) < ?))', ['$."price"', 50])
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
    return _join([_compare(name, str(operator), wanted) for operator, wanted in operators.items()], " AND ")


def _compare(field: str, operator: str, wanted: Any) -> tuple[str, list[Any]]:
    if '"' in field:
        msg = f"a field name must not hold a double quote, got {field!r}"
        raise FilterError(msg)
    path = f'$."{field}"'
    if operator == "$exists":
        return f"json_type(metadata, ?) IS {'NOT NULL' if wanted else 'NULL'}", [path]
    if operator in _LISTS:
        values = [_plain(field, entry) for entry in wanted]
        marks = ", ".join("?" * len(values))
        return f"json_extract(metadata, ?) {_LISTS[operator]} ({marks})", [path, *values]
    if operator not in _COMPARISONS:
        raise FilterError(_unknown(operator))
    return f"json_extract(metadata, ?) {_COMPARISONS[operator]} ?", [path, _plain(field, wanted)]


def _plain(field: str, value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)  # json_extract gives 1 and 0 for true and false
    if isinstance(value, str | int | float):
        return value
    msg = f"the filter on {field!r} compares with a {type(value).__name__}; use text, numbers or booleans"
    raise FilterError(msg)


def _join(parts: Sequence[tuple[str, list[Any]]], word: str) -> tuple[str, list[Any]]:
    sql = word.join(sql for sql, _ in parts)
    return f"({sql})", [parameter for _, parameters in parts for parameter in parameters]


def _unknown(operator: str) -> str:
    known = ", ".join(sorted([*_COMPARISONS, *_LISTS, *_GROUPS, "$exists", "$not"]))
    return f"unknown filter operator {operator!r}; known are {known}"
