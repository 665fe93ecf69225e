"""Names that sentiment models give to their labels."""

from collections.abc import Iterable, Mapping
from typing import Literal

from llms.texts import fold_text

_NAMES: Mapping[str, frozenset[str]] = {
    "negative": frozenset({"negative", "neg", "负面", "消极", "負面"}),
    "positive": frozenset({"positive", "pos", "正面", "积极", "積極"}),
}


def find_sentiment(meaning: Literal["negative", "positive"], labels: Iterable[str]) -> str | None:
    """Return the one label that is a name for this sentiment, such as "Negative" or "负面"; None if there is none.

    Example:
        >>> find_sentiment("negative", ["Neutral", "NEGATIVE", "Positive"])
        'NEGATIVE'
        >>> find_sentiment("positive", ["消极", "积极"])
        '积极'
    """
    found = [label for label in labels if fold_text(label) in _NAMES[meaning]]
    return found[0] if len(found) == 1 else None
