"""Labels of files: cells as texts, and one label for all spellings that are read the same."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llms.texts.folding import fold_text

_UNSEEN_AT_ENDS = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0+)?")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MISSING_WORDS = frozenset(["nan", "null", "n/a", "#n/a", "<na>", "nat", "undefined"])


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLabel:
    r"""A label that a file spells in several ways which are read the same.

    Attributes:
        label: the spelling that counts, the most frequent one.
        spellings: the others, with what is not seen written as `\\u....`.
    """

    label: str
    spellings: tuple[str, ...]


def cell_text(value: Any) -> str:
    """Return a cell as text without white space at its ends; empty for what is none: null, NaN, lists, mappings.

    A whole number is the same with and without `.0`, since columns with gaps become floats. True and false become the
    texts `True` and `False`.

    Example:
        >>> [cell_text(value) for value in (" a ", 1.0, 0.5, float("nan"), None, True, ["a"])]
        ['a', '1', '0.5', '', '', 'True', '']
    """
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    is_text = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return str(value).strip() if is_text else ""


def is_missing_word(text: str) -> bool:
    """Return whether a whole cell is a word that programs write for a missing value.

    Example:
        >>> [is_missing_word(text) for text in ("NaN", "None", "N/A", "none", "nano")]
        [True, True, True, False, False]
    """
    return text == "None" or text.casefold() in _MISSING_WORDS


def merge_labels(labels: Iterable[str]) -> tuple[Mapping[str, str], list[MergedLabel]]:
    r"""Return each spelling's label, and the labels that have several spellings.

    Spellings are the same label if they are read the same, see `fold_text`; capital letters make a difference. Where
    all labels are whole numbers, `1.0` is `1`.

    Example:
        >>> label_of, merged = merge_labels(["late", "late", "late\u200b"])
        >>> label_of["late\u200b"], merged
        ('late', [MergedLabel(label='late', spellings=('late\\u200b',))])
    """
    counts = Counter(labels)
    are_numbers = all(map(_WHOLE_NUMBER.fullmatch, counts))
    by_form: dict[str, Counter[str]] = {}
    spelling_of = {label: label.partition(".")[0] if are_numbers else _tidy(label) for label in counts}
    for label, count in counts.items():
        by_form.setdefault(fold_text(spelling_of[label], keep_case=True), Counter())[spelling_of[label]] += count
    label_of_form = {form: min(found, key=lambda text: (-found[text], text)) for form, found in by_form.items()}
    label_of = {label: label_of_form[fold_text(text, keep_case=True)] for label, text in spelling_of.items()}
    return label_of, _merged(label_of)


def match_labels(labels: Iterable[str], known: Sequence[str]) -> Mapping[str, str]:
    r"""Return for each label the known one that is read the same, or itself; of numbers, the one of the same value.

    Example:
        >>> match_labels(["2", "late\u200b", "new"], ["2.0", "2.5", "late"])
        {'2': '2.0', 'late\u200b': 'late', 'new': 'new'}
    """
    matches: dict[str, set[str]] = {}
    for label in known:
        matches.setdefault(_form(label), set()).add(label)
    found: dict[str, str] = {}
    for label in labels:
        same = matches.get(_form(label), set())
        found[label] = next(iter(same)) if len(same) == 1 and label not in known else label
    return found


def _form(label: str) -> str:
    folded = fold_text(label, keep_case=True)
    return str(float(folded)) if _NUMBER.fullmatch(folded) else folded


def _tidy(label: str) -> str:
    """Return a label in composed characters, with single spaces and nothing that is not seen at its ends."""
    return " ".join(unicodedata.normalize("NFC", label).strip(_UNSEEN_AT_ENDS).split()).strip(_UNSEEN_AT_ENDS)


def _merged(label_of: Mapping[str, str]) -> list[MergedLabel]:
    spellings: dict[str, list[str]] = {}
    for spelling, label in label_of.items():
        spellings.setdefault(label, []).append(spelling)
    return [
        MergedLabel(label=label, spellings=tuple(sorted(_escaped(text) for text in found if text != label)))
        for label, found in sorted(spellings.items())
        if len(found) > 1
    ]


def _escaped(text: str) -> str:
    """Return a text with its combining and invisible characters written out, so that it differs from what it hides."""
    return "".join(
        character if character.isprintable() and not unicodedata.combining(character) else f"\\u{ord(character):04x}"
        for character in text
    )
