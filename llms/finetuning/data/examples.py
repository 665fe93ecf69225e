"""Immutable training rows of classifiers: texts with one label or several."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from llms.errors import TrainingDataError
from llms.finetuning.data.labels import MergedLabel
from llms.finetuning.data.tables import RejectedRow


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its label.

    Attributes:
        group: what must stay together when rows are split, such as an author or a conversation.
        time: when it was written, to split by time; without a zone it is taken as UTC.
        line: where it stands in its file, for messages.
    """

    text: str
    label: str
    group: str | None = None
    time: datetime | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MultiLabelText:
    """A text and its labels, each once and in alphabetical order; none is an answer too.

    The other attributes are those of `LabelledText`.

    Example:
        >>> MultiLabelText("Late, and broken too", ("late", "broken", "late")).labels
        ('broken', 'late')
    """

    text: str
    labels: tuple[str, ...] = ()
    group: str | None = None
    time: datetime | None = None
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Bring the labels into order; a text is refused, as it would become one label per character."""
        if isinstance(self.labels, str):
            msg = f"labels must be a tuple of texts, got the text {self.labels!r}; write ({self.labels!r},)"
            raise TrainingDataError(msg)
        object.__setattr__(self, "labels", tuple(sorted(set(self.labels))))


ClassifierRow = LabelledText | MultiLabelText


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Training or test rows for a classifier, the rows set aside, and the labels that had several spellings."""

    rows: list[LabelledText]
    rejected: list[RejectedRow] = field(default_factory=list)
    merged: list[MergedLabel] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """A hash of all texts, labels, groups and times, for the manifest."""
        return _hash_rows(self.rows)


@dataclass(frozen=True, slots=True)
class MultiLabelTexts:
    """Training or test rows whose texts may have several labels or none; else as `LabelledTexts`."""

    rows: list[MultiLabelText]
    rejected: list[RejectedRow] = field(default_factory=list)
    merged: list[MergedLabel] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """A hash of all texts, labels, groups and times, for the manifest."""
        return _hash_rows(self.rows)


def labels_of(row: ClassifierRow) -> tuple[str, ...]:
    """Return the labels of a row of either kind.

    Example:
        >>> labels_of(LabelledText("Where is my card?", "card"))
        ('card',)
    """
    return row.labels if isinstance(row, MultiLabelText) else (row.label,)


def _hash_rows(rows: Sequence[ClassifierRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        parts = [row.text, *labels_of(row)]
        if row.group is not None or row.time is not None:  # else the hash of rows without them would change
            parts += [f"group {row.group}", f"time {row.time.isoformat() if row.time else None}"]
        digest.update(("\x1f".join(parts) + "\x1e").encode())
    return digest.hexdigest()
