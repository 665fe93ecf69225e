"""Styles of Word documents: how their text looks, which headings they are and on which lists they stand."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retrievers.readers.inline import Level
from retrievers.readers.word_xml import attribute, child, switch, value

_LEVELS = {"superscript": Level.SUPER, "subscript": Level.SUB, "baseline": Level.BASE}
_MAX_STYLE_CHAIN = 20
_MIN_SHIFT = 4  # half points; less only puts letters of two sizes on one line
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_NUM_OUTLINE_LEVELS = 9
TITLE = -1
"""The rank of a document's title, above that of its headings."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a run looks; None where nothing says so."""

    is_hidden: bool | None = None
    is_struck: bool | None = None
    level: Level | None = None
    font: str | None = None
    shifted: Level | None = None  # moved up or down by points, which some use to raise a number by hand

    def over(self, other: "Look") -> "Look":
        """Return this look, completed by another one."""
        return Look(
            other.is_hidden if self.is_hidden is None else self.is_hidden,
            other.is_struck if self.is_struck is None else self.is_struck,
            self.level or other.level,
            self.font or other.font,
            self.shifted or other.shifted,
        )


_PLAIN = Look()


def read_look(properties: Any) -> Look:
    """Return how properties of a run make it look."""
    if properties is None or not len(properties):
        return _PLAIN
    struck = [switch(properties, "strike"), switch(properties, "dstrike")]
    fonts = child(properties, "rFonts")
    return Look(
        switch(properties, "vanish"),
        any(struck) if struck != [None, None] else None,
        _LEVELS.get(value(properties, "vertAlign")),
        None if fonts is None else attribute(fonts, "ascii") or attribute(fonts, "hAnsi") or None,
        _shift(value(properties, "position")),
    )


def _shift(half_points: str) -> Level | None:
    try:
        shift = int(half_points)
    except ValueError:
        return None
    if abs(shift) < _MIN_SHIFT:
        return Level.BASE
    return Level.SUPER if shift > 0 else Level.SUB


@dataclass(frozen=True, slots=True)
class ListPlace:
    """On which list and level of it a paragraph stands, in the file's words; empty where nothing says so."""

    list_id: str = ""
    level: str = ""

    @classmethod
    def of(cls, properties: Any) -> "ListPlace":
        """Return what the properties of a paragraph say."""
        numbering = child(properties, "numPr")
        level = value(numbering, "ilvl")
        return cls(value(numbering, "numId"), level if level.isdecimal() else "")

    def over(self, other: "ListPlace") -> "ListPlace":
        """Return this place, completed by another one."""
        return ListPlace(self.list_id or other.list_id, self.level or other.level)


def heading_rank(outline_level: str) -> int:
    """Return 1 for the first of the nine levels, which are counted from 0; 0 stands for text."""
    level = int(outline_level)
    return level + 1 if level < _NUM_OUTLINE_LEVELS else 0


@dataclass(frozen=True, slots=True)
class _Style:
    """What is asked of a style for each of its paragraphs; what it is based on is in it."""

    look: Look = _PLAIN
    rank: int = 0
    place: ListPlace = ListPlace()


class WordStyles:
    """The styles of a document, each read once with those that it is based on.

    Args:
        elements: their elements by id.
    """

    def __init__(self, elements: Mapping[str, Any]) -> None:
        self._elements = elements
        self._read: dict[str, _Style] = {}

    def look(self, style_id: str) -> Look:
        """Return how text in this style looks."""
        return self._style(style_id).look

    def rank(self, style_id: str) -> int:
        """Return 1 to 9 for headings, `TITLE`, or 0 for text."""
        return self._style(style_id).rank

    def list_place(self, style_id: str) -> ListPlace:
        """Return where paragraphs of this style stand."""
        return self._style(style_id).place

    def _style(self, style_id: str) -> _Style:
        if style_id not in self._read:
            chain = list(self._chain(style_id))
            look, place = _PLAIN, ListPlace()
            for style in chain:
                look = look.over(read_look(child(style, "rPr")))
                place = place.over(ListPlace.of(child(style, "pPr")))
            ranks = (rank for style in chain if (rank := _rank(style)) is not None)
            self._read[style_id] = _Style(look, next(ranks, 0), place)
        return self._read[style_id]

    def _chain(self, style_id: str) -> Iterator[Any]:
        """Yield a style's element and those it is based on."""
        for _ in range(_MAX_STYLE_CHAIN):
            style = self._elements.get(style_id)
            if style is None:
                return
            yield style
            style_id = value(style, "basedOn")


def _rank(style: Any) -> int | None:
    name = value(style, "name")
    if name.lower() == "title":
        return TITLE
    if found := _HEADING.fullmatch(name):
        return int(found.group(1))
    outline = value(child(style, "pPr"), "outlineLvl")
    return heading_rank(outline) if outline.isdecimal() else None
