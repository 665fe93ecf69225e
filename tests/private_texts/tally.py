"""Recall and precision of a detector of private data, by kind."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from llms.texts.private_data import PrivateSpan
from tests.private_texts.making import MarkedText

Find = Callable[[str], list[PrivateSpan]]
RECALLS = {
    "email": 0.97,
    "phone": 0.97,
    "card": 0.97,
    "iban": 0.97,
    "id_number": 0.97,
    "order_number": 0.97,
    "name": 0.85,
    "address": 0.85,
}
MIN_PRECISION = 0.95


@dataclass
class Tally:
    """What a method did with one kind."""

    true: int = 0
    recalled: int = 0
    hidden: int = 0
    found: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        """Return which share of the true pieces was found as their kind."""
        return self.recalled / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Return which share of the found pieces is truly of their kind."""
        return self.right / self.found if self.found else 1.0


def tally(texts: Sequence[MarkedText], find: Find) -> dict[str, Tally]:
    """Return the counts of each kind."""
    counts = {kind: Tally() for kind in RECALLS}
    for marked in texts:
        found = [span for span in find(marked.text) if span.kind in counts]
        for start, end, kind in marked.spans:
            counts[kind].true += 1
            counts[kind].recalled += is_covered(marked.text, start, end, (s for s in found if s.kind == kind))
            counts[kind].hidden += is_covered(marked.text, start, end, found)
        for span in found:
            counts[span.kind].found += 1
            counts[span.kind].right += is_right(span, marked)
    return counts


def is_covered(text: str, start: int, end: int, spans: Iterable[PrivateSpan]) -> bool:
    """Return whether each letter and digit of a piece lies in one of the spans."""
    seen = {place for span in spans for place in range(span.start, span.end)}
    return all(place in seen for place in range(start, end) if text[place].isalnum())


def is_right(span: PrivateSpan, marked: MarkedText) -> bool:
    """Return whether at least half of a span is truly of its kind."""
    inside = sum(
        max(0, min(span.end, end) - max(span.start, start)) for start, end, kind in marked.spans if kind == span.kind
    )
    return inside * 2 >= span.end - span.start
