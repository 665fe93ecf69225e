"""Spans of private data, and the search that lets each detector see only what no other has taken."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

PrivateKind = Literal["email", "phone", "card", "iban", "id_number", "name", "address", "order_number", "key"]

Place: TypeAlias = tuple[int, int]
Detector: TypeAlias = Callable[[str], Iterable[Place]]

_TAKEN = "\x00"  # no digit, letter or separator: detectors see a border there
# full-width ASCII, the ideographic space, and dashes: one character for one, so that places stay
_PLAIN = (
    {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    | {0x3000: " ", 0xA0: " ", 0x202F: " "}
    | dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE63], "-")
    | dict.fromkeys([0x2018, 0x2019, 0x02BC], "'")
)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_DIGIT = re.compile(r"[^\D0-9]")


@dataclass(frozen=True, slots=True, order=True)
class PrivateSpan:
    """A piece of a text that tells who somebody is, or opens what is theirs.

    Attributes:
        start: its first character.
        end: behind its last character.
        kind: what it is: a `PrivateKind`, or the name of a slot whose pattern found it.
        text: the piece itself.
    """

    start: int
    end: int
    kind: str
    text: str


class PlainText:
    """A text in plain characters, and the places of these in the text as it was.

    Args:
        text: as somebody wrote it: full-width letters and digits, zero-width characters within numbers.
    """

    def __init__(self, text: str) -> None:
        self.written = text
        self._places: list[int] | None = None
        if text.isascii():
            self.plain = text
            return
        seen = text
        if _UNSEEN.search(text):
            self._places = [place for place, character in enumerate(text) if not _UNSEEN.match(character)]
            seen = _UNSEEN.sub("", text)
        self.plain = _DIGIT.sub(lambda found: str(int(found[0])), seen.translate(_PLAIN))

    def span(self, start: int, end: int, kind: str) -> PrivateSpan:
        """Return what was written at a place of the plain text."""
        if self._places is not None:
            start, end = self._places[start], self._places[end - 1] + 1
        return PrivateSpan(start, end, kind, self.written[start:end])


class Search:
    """What was found in a text so far, and the rest, in which the next detector looks.

    Detectors come in the order of how sure they are; what one takes is a border for the others.
    """

    def __init__(self, plain: str) -> None:
        self.rest = plain
        self.found: list[tuple[int, int, str]] = []

    def take(self, kind: str, detector: Detector) -> None:
        """Take the places that a detector finds; they follow each other and do not overlap."""
        places = list(detector(self.rest))
        self.found += [(start, end, kind) for start, end in places]
        self.hide(places)

    def hide(self, places: Iterable[Place]) -> None:
        """Let no further detector see these places."""
        kept, done = [], 0
        for start, end in places:
            kept += [self.rest[done:start], _TAKEN * (end - start)]
            done = end
        if done:
            self.rest = "".join([*kept, self.rest[done:]])


def has_digits(text: str, at_least: int) -> bool:
    """Return whether a text holds that many digits, which most texts do not."""
    return sum(map(str.isdecimal, text)) >= at_least


def joined_places(places: Iterable[Place]) -> list[Place]:
    """Return places in order, those that overlap as one."""
    joined: list[Place] = []
    for start, end in sorted(places):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def longest_places(places: Iterable[Place]) -> Iterator[Place]:
    """Yield places in order without overlaps; of those that begin alike the longest, and what others go beyond it."""
    done = 0
    for start, end in sorted(places, key=lambda place: (place[0], -place[1])):
        if end > done:
            yield max(start, done), end
            done = end
