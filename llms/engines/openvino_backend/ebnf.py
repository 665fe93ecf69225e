"""Pieces of EBNF in XGrammar's form: texts, choices, repetitions, and regular expressions."""

import importlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from llms.errors import ConstraintError

_parser: Any = importlib.import_module("re._parser")  # Python's own reading of patterns

_CHARACTERS = [(0x00, 0xD7FF), (0xE000, 0x10FFFF)]  # all of Unicode but the surrogates, which are no characters
_NEVER_PLAIN = [(0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C)]  # what a JSON string must escape
_CLASSES = {
    "CATEGORY_DIGIT": [(0x30, 0x39)],
    "CATEGORY_WORD": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    "CATEGORY_SPACE": [(0x09, 0x0D), (0x20, 0x20)],
}
_Ranges = list[tuple[int, int]]  # first and last code of each range, in order
_LARGEST = 10**15 - 1  # a double holds every whole number of 15 digits
_FRACTION = "[.][0-9]{0,5}[1-9]"  # more than nothing, so that bounds need no look at it


def literal(text: str) -> str:
    """Return the expression for exactly this text."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        refuse("half a character (a lone surrogate) cannot be written")
    if character.isalnum() or character in " _":
        return character
    # not \xNN, which XGrammar lets run on over the digits and letters that follow it
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def sequence(parts: Iterable[str]) -> str:
    """Return the parts one after the other."""
    return " ".join(part for part in parts if part not in ("", '""')) or '""'


def choice(parts: Iterable[str]) -> str:
    """Return any one of the parts."""
    different = list(dict.fromkeys(parts))
    if not different:
        refuse("there is nothing to choose from")
    return different[0] if len(different) == 1 else "(" + " | ".join(different) + ")"


def repeated(part: str, least: int, most: int | None) -> str:
    """Return `part` from `least` to `most` times, None for without end."""
    if most is not None and most < least:
        refuse(f"at least {least} and at most {most} cannot both hold")
    if most == 0:
        return '""'
    is_class = part.startswith("[") and part.index("]") == len(part) - 1
    counts = {(0, None): "*", (1, None): "+", (0, 1): "?", (1, 1): ""}
    return (part if is_class else f"({part})") + counts.get(
        (least, most), f"{{{least},{'' if most is None else most}}}"
    )


def refuse(reason: str) -> NoReturn:
    """Raise the error for a constraint that cannot be used."""
    msg = f"the constraint cannot be used on the OpenVINO engine: {reason}"
    raise ConstraintError(msg)


# patterns


def regex(pattern: str, *, in_json: bool = False) -> str:
    """Return a pattern that is matched as a whole, or within the quotes of a JSON string.

    Raises:
        ConstraintError: if it is malformed, or uses what cannot be checked token by token.
    """
    try:
        parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        refuse(f"{pattern!r} is no regular expression: {error}")
    if parsed.state.flags & ~re.UNICODE:
        refuse(f"{pattern!r} has flags")
    items = list(parsed)
    begins = bool(items) and str(items[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING")
    ends = len(items) > begins and str(items[-1][1]) in ("AT_END", "AT_END_STRING")
    body = _regex_items(items[begins : len(items) - ends], in_json)
    if not in_json:
        return body  # a pattern is matched as a whole, with or without anchors
    # JSON Schema looks for the pattern anywhere, unless it is anchored
    return sequence(["" if begins else f"{PLAIN}*", body, "" if ends else f"{PLAIN}*"])


def _regex_items(items: Sequence[tuple[Any, Any]], in_json: bool) -> str:  # noqa: FBT001
    return sequence(_regex_item(str(kind), content, in_json) for kind, content in items)


def _regex_item(kind: str, content: Any, in_json: bool) -> str:  # noqa: FBT001
    match kind:
        case "LITERAL":
            text = json.dumps(chr(content), ensure_ascii=False)[1:-1] if in_json else chr(content)
            return literal(text)
        case "ANY":
            return PLAIN if in_json else _class(_without(_CHARACTERS, [(0x0A, 0x0A)]))
        case "NOT_LITERAL":
            return _regex_class([("NEGATE", None), ("LITERAL", content)], in_json)
        case "IN":
            return _regex_class([(str(part), value) for part, value in content], in_json)
        case "BRANCH":
            return choice(_regex_items(branch, in_json) for branch in content[1])
        case "SUBPATTERN" if not content[1] and not content[2]:
            return f"({_regex_items(content[3], in_json)})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most, part = content
            most = None if most == _parser.MAXREPEAT else int(most)
            return repeated(_regex_items(part, in_json), least, most)
    refuse(f"a pattern with {kind.lower().replace('_', ' ')} cannot be checked token by token")


def _regex_class(items: Sequence[tuple[str, Any]], in_json: bool) -> str:  # noqa: FBT001
    ranges = [found for kind, value in items for found in _class_part(kind, value)]
    if items[0][0] == "NEGATE":
        ranges = _without(_CHARACTERS, ranges)
    return _class(_without(ranges, _NEVER_PLAIN) if in_json else ranges)


def _class_part(kind: str, value: Any) -> _Ranges:
    match kind:
        case "NEGATE":
            return []
        case "LITERAL":
            return [(value, value)]
        case "RANGE":
            return [value]
        case "CATEGORY" if str(value) in _CLASSES:
            return _CLASSES[str(value)]
    refuse(f"a class with {str(value).lower().replace('_', ' ')} is not offered; list its characters")


def _class(ranges: _Ranges) -> str:
    """Return a class of characters; never a negated one, which XGrammar lets match broken UTF-8."""
    allowed = [even for found in _without(ranges, [(0xD800, 0xDFFF)]) for even in _even_ranges(*found)]
    if not allowed:
        refuse("a class that holds no character")
    return "[" + "".join(f"{_escaped(chr(first))}-{_escaped(chr(last))}" for first, last in allowed) + "]"


def _even_ranges(first: int, last: int) -> _Ranges:
    """Return a range in parts whose UTF-8 bytes vary independently; XGrammar lets others match broken UTF-8."""
    for largest in (0x7F, 0x7FF, 0xFFFF):  # the last codes of one, two and three bytes
        if first <= largest < last:
            return [*_even_ranges(first, largest), *_even_ranges(largest + 1, last)]
    for num_tail in (1, 2, 3) if last > 0x7F else ():
        tail = (1 << 6 * num_tail) - 1  # the bits of the last so many bytes
        if first & ~tail != last & ~tail:
            if first & tail:
                return [*_even_ranges(first, first | tail), *_even_ranges((first | tail) + 1, last)]
            if last & tail != tail:
                return [*_even_ranges(first, (last & ~tail) - 1), *_even_ranges(last & ~tail, last)]
    return [(first, last)]


def _without(ranges: _Ranges, holes: _Ranges) -> _Ranges:
    for hole_first, hole_last in holes:
        ranges = [
            (first, last)
            for begin, end in ranges
            for first, last in ((begin, min(end, hole_first - 1)), (max(begin, hole_last + 1), end))
            if first <= last
        ]
    return ranges


PLAIN = _class(_without(_CHARACTERS, _NEVER_PLAIN))  # what stands in a JSON string as it is


def integer_pattern(lowest: int | None, highest: int | None) -> str:
    """Return a pattern for the whole numbers from `lowest` to `highest`, None for up to 15 digits.

    Raises:
        ValueError: if there is none.

    Example:
        >>> integer_pattern(7, 123)
        '([7-9]|[1-9][0-9]|1([0-1][0-9]|2[0-3]))'
    """
    low = -_LARGEST if lowest is None else lowest
    high = _LARGEST if highest is None else highest
    if low > high:
        msg = f"no whole number is at least {low} and at most {high}"
        raise ValueError(msg)
    parts = []
    if low < 0:
        parts.append("-" + _naturals(max(1, -high), -low))
    if high >= 0:
        parts.append(_naturals(max(0, low), high))
    return _one_of(parts)


def number_pattern(
    lowest: int | None, highest: int | None, *, excludes_lowest: bool = False, excludes_highest: bool = False
) -> str:
    """Return a pattern for numbers from `lowest` to `highest` with at most six decimals and no exponent.

    Raises:
        ValueError: if there is none.

    Example:
        >>> number_pattern(0, 1)
        '([0-1]|0[.][0-9]{0,5}[1-9])'
    """
    if lowest is None and highest is None:
        return "-?(0|[1-9][0-9]{0,14})([.][0-9]{1,6})?"
    low = -_LARGEST if lowest is None else lowest
    high = _LARGEST if highest is None else highest
    parts = []
    if low + excludes_lowest <= high - excludes_highest:
        parts.append(integer_pattern(low + excludes_lowest, high - excludes_highest))
    if max(low, 0) <= high - 1:  # the whole part of a number above 0
        parts.append(_naturals(max(low, 0), high - 1) + _FRACTION)
    if max(-high, 0) <= -low - 1:  # and of one below
        parts.append("-" + _naturals(max(-high, 0), -low - 1) + _FRACTION)
    if not parts:
        msg = f"no number lies between {low} and {high}"
        raise ValueError(msg)
    return _one_of(parts)


def _naturals(low: int, high: int) -> str:
    """Return a pattern for the numbers from `low` to `high`, both at least 0."""
    parts = []
    for size in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (size - 1) if size > 1 else 0)
        parts.append(_same_size(str(first), str(min(high, 10**size - 1))))
    return _one_of(parts)


def _same_size(low: str, high: str) -> str:
    size = len(low)
    if not low:
        return ""
    if low == high:
        return low
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        first = low[0] if low[0] == high[0] else f"[{low[0]}-{high[0]}]"
        return first + {1: "", 2: "[0-9]"}.get(size, f"[0-9]{{{size - 1}}}")
    if low[0] == high[0]:
        return low[0] + _same_size(low[1:], high[1:])
    parts = []
    above, below = int(low[0]), int(high[0])
    if set(low[1:]) != {"0"}:
        parts.append(low[0] + _same_size(low[1:], "9" * (size - 1)))
        above += 1
    last = None
    if set(high[1:]) != {"9"}:
        last = high[0] + _same_size("0" * (size - 1), high[1:])
        below -= 1
    if above <= below:
        parts.append(_same_size(f"{above}{'0' * (size - 1)}", f"{below}{'9' * (size - 1)}"))
    return _one_of([*parts, last] if last else parts)


def _one_of(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({'|'.join(parts)})"
