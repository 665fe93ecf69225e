"""Names that sentiment models give to their labels."""

from collections.abc import Iterable

from llms.texts import fold_text

_NEGATIVE = frozenset({"negative", "neg", "负面", "消极", "負面"})
_POSITIVE = frozenset({"positive", "pos", "正面", "积极", "積極"})


def find_negative(labels: Iterable[str]) -> str | None:
    """Return the one label that is a name for negative sentiment, such as "Negative" or "负面"; None if there is none.

    Example:
        >>> find_negative(["Neutral", "NEGATIVE", "Positive"])
        'NEGATIVE'
    """
    return _find(labels, _NEGATIVE)


def find_positive(labels: Iterable[str]) -> str | None:
    """Return the one label that is a name for positive sentiment, such as "Positive" or "正面"; None if there is none.

    Example:
        >>> find_positive(["消极", "积极"])
        '积极'
    """
    return _find(labels, _POSITIVE)


def _find(labels: Iterable[str], names: frozenset[str]) -> str | None:
    found = [label for label in labels if fold_text(label) in names]
    return found[0] if len(found) == 1 else None
