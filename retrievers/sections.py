"""Sections of a document by its headings, and which of them to show around a chunk."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from llms.texts import TextSpan
from retrievers.blocks import Block, Kind

_MAX_NAME_CHARS = 120


@dataclass(slots=True)
class Section:
    """A heading and its blocks up to the next heading; of level 0 and without a path before the first one."""

    level: int
    path: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document and the number of its section."""

    start: int
    end: int
    section: int


def find_sections(blocks: Iterable[Block]) -> list[Section]:
    r"""Return the sections in the order of the document, each with the headings above it in its path.

    Example:
        >>> from retrievers.blocks import find_blocks
        >>> [section.path for section in find_sections(find_blocks("intro\n# A\n## B\n# C"))]
        ['', 'A', 'A > B', 'C']
    """
    sections = [Section(0, "")]
    above: list[tuple[int, str]] = []  # (level, name) from the outermost heading down
    for block in blocks:
        if block.kind is Kind.HEADING:
            while above and above[-1][0] >= block.level:
                above.pop()
            above.append((block.level, block.name[:_MAX_NAME_CHARS]))
            sections.append(Section(block.level, " > ".join(name for _, name in above)))
        sections[-1].blocks.append(block)
    return sections


def find_parents(sections: Sequence[Section], chunks: Sequence[Chunk], max_chars: int) -> list[TextSpan]:
    """Return for each chunk the part of the document to show with it; parts do not overlap.

    That is the widest section around it, its sub-sections included, whose chunks span at most `max_chars`. Of a
    section that is longer, its own text above the first sub-section is a part by itself, cut between chunks if
    need be.
    """
    numbers = [chunk.section for chunk in chunks]
    ends = _subtree_ends(sections)
    parents: list[TextSpan] = []
    number = 0
    while number < len(sections):
        first, behind = bisect.bisect_left(numbers, number), bisect.bisect_left(numbers, ends[number])
        if behind > first and chunks[behind - 1].end - chunks[first].start <= max_chars:
            parents += [(chunks[first].start, chunks[behind - 1].end)] * (behind - first)
            number = ends[number]
        else:
            own = chunks[first : bisect.bisect_left(numbers, number + 1)]
            parents += _parents_of(own, max_chars)
            number += 1
    return parents


def _subtree_ends(sections: Sequence[Section]) -> list[int]:
    """Return for each section the number of the first one behind it and its sub-sections; the first holds all."""
    ends = [len(sections)] * len(sections)
    open_numbers: list[int] = []
    for number, section in enumerate(sections):
        while open_numbers and sections[open_numbers[-1]].level >= section.level:
            ends[open_numbers.pop()] = number
        open_numbers.append(number)
    return ends


def _parents_of(chunks: Sequence[Chunk], max_chars: int) -> Iterator[TextSpan]:
    """Yield for each chunk of one section the neighbours that fit together."""
    first = 0
    for index in range(1, len(chunks) + 1):
        if index == len(chunks) or chunks[index].end - chunks[first].start > max_chars:
            yield from [(chunks[first].start, chunks[index - 1].end)] * (index - first)
            first = index
