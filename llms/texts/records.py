"""Records of a JSON text: one in each line, all in one array, or objects that go over several lines."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from llms.texts.strict_json import LENIENT_DECODER, STRICT_DECODER

_SPACE = re.compile(r"[ \t\r\n]*")
_NO_COMMA = "not valid JSON: neither a comma nor ] follows the record before; nothing behind it is read"
_NEXT_RECORD = re.compile(r"\n(?=\{)")  # after a broken record


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """A value that stands for itself in a file.

    Attributes:
        line: where it begins, counted from 1; its number among all records, where an array has several in a line.
        value: any JSON value; None where there is a problem.
        problem: why it cannot be used, or an empty text.
    """

    line: int
    value: Any
    problem: str = ""


def json_records(
    text: str, *, is_strict: bool = False, is_record: Callable[[Any], bool] = lambda value: not isinstance(value, list)
) -> Iterator[JsonRecord]:
    r"""Yield the records of a text.

    Three forms are read: a record in each line; one array of all records; and objects that go over several lines, as
    programs write them for people. What is no JSON, or has a key twice, is a problem of its record, and the others are
    read.

    Args:
        is_strict: NaN, infinity and numbers beyond all bounds are problems, too; else they are read as floats.
        is_record: whether a list that stands alone in its line is a record, not the array of all.

    Example:
        >>> [(record.line, record.value) for record in json_records('[{"a": 1},\n {"a": 2}]')]
        [(1, {'a': 1}), (2, {'a': 2})]
        >>> [record.value for record in json_records('{"a": 1}\n{"a": 2}\n')]
        [{'a': 1}, {'a': 2}]
    """
    decoder = STRICT_DECODER if is_strict else LENIENT_DECODER
    start = _end_of_space(text, 0)
    line, _, rest = text[start:].partition("\n")
    first = _read_line(decoder, line, 1)
    is_only_line = not rest.strip()
    if line.startswith("[") and (first.problem or (is_only_line and not is_record(first.value))):
        yield from _in_array(decoder, text, start)
    elif line.startswith("{") and first.problem and not is_only_line and not _read(decoder, text, start)[0].problem:
        yield from _over_lines(decoder, text, start)
    else:
        for number, row in enumerate(text.split("\n"), start=1):
            if row.strip():
                yield _read_line(decoder, row, number)


def parse_record(line: str, number: int) -> JsonRecord:
    """Return the record in a line of a stream, read as by `json_records`.

    Example:
        >>> parse_record('{"a": 1', 7)
        JsonRecord(line=7, value=None, problem="not valid JSON: Expecting ',' delimiter at character 8")
    """
    return _read_line(LENIENT_DECODER, line.rstrip(), number)


def _in_array(decoder: json.JSONDecoder, text: str, start: int) -> Iterator[JsonRecord]:
    found: list[JsonRecord] = []
    place = _end_of_space(text, start + 1)
    line = 1 + text.count("\n", 0, place)
    while text[place : place + 1] != "]":
        record, end = _read(decoder, text, place)
        found.append(replace(record, line=line))
        end = _end_of_space(text, end)
        has_comma = text[end : end + 1] == ","
        if record.problem:
            found[-1] = replace(found[-1], problem=f"{record.problem}; nothing behind it is read")
            break  # where the next one begins is not sure
        if not has_comma and text[end : end + 1] != "]":
            found.append(JsonRecord(line, None, _NO_COMMA))
            break
        after = _end_of_space(text, end + 1) if has_comma else end
        line += text.count("\n", place, after)
        place = after
    has_own_lines = len({record.line for record in found}) == len(found)
    for number, record in enumerate(found, start=1):
        yield record if has_own_lines else replace(record, line=number)


def _over_lines(decoder: json.JSONDecoder, text: str, start: int) -> Iterator[JsonRecord]:
    place, line = start, 1 + text.count("\n", 0, start)
    while place < len(text):
        record, end = _read(decoder, text, place)
        yield replace(record, line=line)
        if record.problem:
            following = _NEXT_RECORD.search(text, place + 1)
            end = following.end() if following else len(text)
        after = _end_of_space(text, end)
        line += text.count("\n", place, after)
        place = after


def _read_line(decoder: json.JSONDecoder, line: str, number: int) -> JsonRecord:
    start = _end_of_space(line, 0)
    record, end = _read(decoder, line, start)
    if not record.problem and line[end:].strip():
        return JsonRecord(number, None, f"not valid JSON: more than one value, the second at character {end + 1}")
    return replace(record, line=number)


def _read(decoder: json.JSONDecoder, text: str, place: int) -> tuple[JsonRecord, int]:
    """Return the value that begins at a place, and where it ends."""
    try:
        value, end = decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        beyond = f"line {error.lineno}, " if error.lineno > 1 else ""
        return JsonRecord(0, None, f"not valid JSON: {error.msg} at {beyond}character {error.colno}"), place
    except RecursionError:
        return JsonRecord(0, None, "not valid JSON: brackets are nested too deeply"), place
    except ValueError as error:
        return JsonRecord(0, None, f"not valid JSON: {error}"), place
    return JsonRecord(0, value), end


def _end_of_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place
