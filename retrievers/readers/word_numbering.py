"""Numbers of Word's lists and headings: where each list starts, how it counts, and what stands around the number."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrievers.readers.numerals import numeral
from retrievers.readers.word_xml import WORD, attribute, child, value

_PLACE = re.compile(r"%([1-9])")
NUM_LEVELS = 9
_MAX_PATTERN_CHARS = 255  # each item repeats the pattern
_MAX_DIGITS = 20
_MAX_NUMBER = 2**31 - 1  # as in Word; else each item could show thousands of digits


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level of a list counts."""

    start: int = 1
    style: str = "decimal"
    pattern: str = ""  # "%2" stands for the number of the second level
    min_digits: int = 0
    style_id: str = ""  # of the paragraphs that stand on it
    restart_below: int | None = None  # begins anew after a number of this level or a higher one; 0: never
    is_legal: bool = False  # shows the numbers of higher levels in digits, however they are shown there

    def shown(self, number: int) -> str:
        return numeral(number, self.style).zfill(self.min_digits)


@dataclass(frozen=True, slots=True)
class _Definition:
    """What lists are made from."""

    id: str
    levels: Mapping[int, _Level]


@dataclass(frozen=True, slots=True)
class _List:
    """A numbering of a document; several may count on with each other."""

    counted_with: str
    levels: dict[int, _Level]
    start_overrides: dict[int, int] = field(default_factory=dict)


class WordNumbering:
    """The lists of a document, which count while its paragraphs are read in order.

    Args:
        root: the part that defines them, or None for a document without lists.
        styles: the style elements by id; a list may be defined by a style.
    """

    def __init__(self, root: Any, styles: Mapping[str, Any]) -> None:
        self._lists: dict[str, _List] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._overridden: set[tuple[str, int]] = set()
        if root is not None:
            abstract = {attribute(entry, "abstractNumId"): entry for entry in root.iter(f"{WORD}abstractNum")}
            targets = {attribute(entry, "numId"): value(entry, "abstractNumId") for entry in root.iter(f"{WORD}num")}
            definitions: dict[str, _Definition | None] = {}  # any number of lists may name the same one
            for entry in root.iter(f"{WORD}num"):
                abstract_id = value(entry, "abstractNumId")
                if abstract_id not in definitions:
                    definitions[abstract_id] = _read_definition(_definition(abstract_id, abstract, targets, styles))
                if (definition := definitions[abstract_id]) is not None:
                    self._lists[attribute(entry, "numId")] = _read_list(entry, definition)

    def level_of_style(self, list_id: str, style_id: str) -> int:
        """Return the level of a list on which paragraphs of this style stand; the first where it does not say."""
        levels = self._lists[list_id].levels if list_id in self._lists else {}
        return next((depth for depth, level in levels.items() if level.style_id == style_id), 0)

    def count(self, list_id: str, depth: int) -> str:
        """Count one paragraph, and return what Word shows before it: "- " for a bullet, "" for nothing."""
        numbering = self._lists.get(list_id)
        if numbering is None:
            return ""
        self._advance(list_id, numbering, depth)
        level = numbering.levels.get(depth, _Level(pattern=f"%{depth + 1}."))
        if level.style == "bullet":
            return "- "
        shown = _PLACE.sub(lambda place: self._number(numbering, level, int(place[1]) - 1), level.pattern)
        return f"{marker} " if (marker := " ".join(shown.split())) else ""

    def _advance(self, list_id: str, numbering: _List, depth: int) -> None:
        key = (numbering.counted_with, depth)
        level = numbering.levels.get(depth, _Level())
        if depth in numbering.start_overrides and (list_id, depth) not in self._overridden:
            self._overridden.add((list_id, depth))
            self._counts[key] = numbering.start_overrides[depth]
        elif key in self._counts:
            self._counts[key] += 1
        else:
            self._counts[key] = numbering.start_overrides.get(depth, level.start)
        for deeper in range(depth + 1, NUM_LEVELS):
            restart_below = numbering.levels.get(deeper, _Level()).restart_below
            if restart_below is None or depth < restart_below:
                self._counts.pop((numbering.counted_with, deeper), None)

    def _number(self, numbering: _List, shown_on: _Level, depth: int) -> str:
        level = numbering.levels.get(depth, _Level())
        number = self._counts.get((numbering.counted_with, depth), level.start)
        if level.style == "none":
            return ""
        return str(number) if shown_on.is_legal else level.shown(number)


def _definition(
    abstract_id: str, abstract: Mapping[str, Any], targets: Mapping[str, str], styles: Mapping[str, Any]
) -> Any:
    """Return the element that defines a list, also if that only names a style which names the list."""
    definition = abstract.get(abstract_id)
    link = value(definition, "numStyleLink")
    if link:
        properties = child(child(styles.get(link), "pPr"), "numPr")
        definition = abstract.get(targets.get(value(properties, "numId"), ""), definition)
    return definition


def _read_definition(element: Any) -> _Definition | None:
    if element is None:
        return None
    levels = {_depth(level): _read_level(level) for level in element.iter(f"{WORD}lvl")}
    return _Definition(attribute(element, "abstractNumId"), levels)


def _read_list(entry: Any, definition: _Definition) -> _List:
    levels = dict(definition.levels)
    overrides: dict[int, int] = {}
    for override in entry.iter(f"{WORD}lvlOverride"):
        depth = _depth(override)
        if (level := child(override, "lvl")) is not None:
            levels[depth] = _read_level(level)
        if (start := value(override, "startOverride")).isdecimal():
            overrides[depth] = min(int(start), _MAX_NUMBER)
    return _List(definition.id, levels, overrides)


def _read_level(element: Any) -> _Level:
    start, restart = value(element, "start"), value(element, "lvlRestart")
    formats = list(element.iter(f"{WORD}numFmt"))
    custom = next((attribute(entry, "format") for entry in formats if attribute(entry, "val") == "custom"), "")
    first = custom.split(",")[0].strip()  # "001, 002, 003, ..."
    style = attribute(formats[0], "val") if formats else "decimal"
    return _Level(
        start=min(int(start), _MAX_NUMBER) if start.isdecimal() else 1,
        style="decimal" if style == "custom" else style,
        pattern=value(element, "lvlText")[:_MAX_PATTERN_CHARS],
        min_digits=min(len(first), _MAX_DIGITS) if first.isdecimal() else 0,
        style_id=value(element, "pStyle"),
        restart_below=int(restart) if restart.isdecimal() else None,
        is_legal=child(element, "isLgl") is not None,
    )


def _depth(element: Any) -> int:
    depth = attribute(element, "ilvl")
    return min(int(depth), NUM_LEVELS - 1) if depth.isdecimal() else 0
