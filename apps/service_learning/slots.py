"""Slots for numbers that logs hold: what the numbers look like, and a pattern that finds others of their kind."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from chains.customer_service import Slot
from chains.languages import Language

SHAPED_KINDS = ("order_number",)  # of private data, whose form is the company's own
_MIN_COUNT = 3
_MIN_SHARE = 0.1  # of the numbers of a kind; what is rarer is a mistake in writing
_MAX_PREFIX = 4  # letters that say what the number is of, such as "VT"; more may be a name
_ASK: Mapping[Language, Mapping[str, str]] = {
    "en": {"order_number": "What is the number of your order?"},
    "zh": {"order_number": "请问您的订单号是多少？"},
}


def shape_of(number: str) -> str:
    """Return what a number looks like, without its digits.

    Example:
        >>> shape_of("vt-204918"), shape_of("Schmidt7")
        ('VT-000000', 'AAAAAAA0')
    """
    found = re.match(r"[A-Za-z]*", number)
    prefix = found[0] if found and len(found[0]) <= _MAX_PREFIX else ""
    rest = re.sub(r"[^\W\d_]", "A", number[len(prefix) :])
    return prefix.upper() + re.sub(r"\d", "0", rest)


def count_shapes(numbers: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Return how often each (kind, shape) stands among private data given as (kind, text)."""
    return Counter((kind, shape_of(text)) for kind, text in numbers if kind in SHAPED_KINDS)


def propose_slots(shapes: Mapping[tuple[str, str], int], language: Language) -> dict[str, Slot]:
    """Return a slot for each kind of number that has usual shapes.

    Example:
        >>> shapes = {("order_number", "VT-000000"): 40, ("order_number", "VT-00"): 1}
        >>> slot = propose_slots(shapes, "en")["order_number"]
        >>> slot.find("where is vt204918"), slot.find("since 2024")
        ('vt204918', None)
    """
    slots: dict[str, Slot] = {}
    for kind in SHAPED_KINDS:
        counts = {shape: count for (of, shape), count in shapes.items() if of == kind}
        least = max(_MIN_COUNT, _MIN_SHARE * sum(counts.values()))
        usual = sorted(shape for shape, count in counts.items() if count >= least)
        if usual:
            pattern = "|".join(_pattern(shape) for shape in usual)
            slots[kind] = Slot(pattern=f"(?i)(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", ask=_ASK[language][kind])
    return slots


def _pattern(shape: str) -> str:
    """Return a regular expression for numbers of a shape; signs between its parts may be left out."""
    pieces = []
    for run in re.finditer(r"0+|[A-Z]+|[^0A-Z]+", shape):
        text = run[0]
        if text[0] == "0":
            pieces.append(rf"\d{{{len(text)}}}")
        elif set(text) == {"A"} and run.start() > 0:
            pieces.append(rf"[A-Z]{{{len(text)}}}")
        elif text.isalpha():
            pieces.append(text)
        else:
            pieces.append(f"(?:{re.escape(text)})?")
    return "".join(pieces)
