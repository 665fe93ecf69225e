"""Training rows for taggers: texts with labelled spans, checked when they are made."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from llms.errors import TrainingDataError
from llms.finetuning.data.splits import draw
from llms.finetuning.data.tables import RejectedRow


@dataclass(frozen=True, slots=True, order=True)
class LabelledSpan:
    """A part of a text and its label; `end` is the offset behind the last character."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A text and the spans in it, in the order of the text.

    Attributes:
        line: where it stands in its file, for messages.

    Raises:
        TrainingDataError: if a span lies outside the text, holds white space only, has no label, or overlaps another.

    Example:
        >>> TaggedText("Lyon, Oslo", (LabelledSpan(6, 10, "place"), LabelledSpan(0, 4, "place"))).spans[0].start
        0
        >>> TaggedText("Lyon", (LabelledSpan(0, 9, "place"),))
        Traceback (most recent call last):
        ...
        llms.errors.TrainingDataError: a span from 0 to 9 lies outside the text, which has 4 characters
    """

    text: str
    spans: tuple[LabelledSpan, ...] = ()
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Bring the spans into order and refuse what cannot be."""
        spans = tuple(sorted(self.spans))
        object.__setattr__(self, "spans", spans)
        for span in spans:
            if not 0 <= span.start < span.end <= len(self.text):
                msg = (
                    f"a span from {span.start} to {span.end} lies outside the text, "
                    f"which has {len(self.text)} characters"
                )
                raise TrainingDataError(msg)
            if not self.text[span.start : span.end].strip():
                msg = f"the span from {span.start} to {span.end} holds nothing but white space"
                raise TrainingDataError(msg)
            if not span.label:
                msg = f"the span from {span.start} to {span.end} has no label"
                raise TrainingDataError(msg)
        for before, after in itertools.pairwise(spans):
            if after.start < before.end:
                msg = (
                    f"the spans from {before.start} to {before.end} and from {after.start} to {after.end} overlap; "
                    "a word has one label at most"
                )
                raise TrainingDataError(msg)


@dataclass(frozen=True, slots=True)
class TaggedTexts:
    """Training or test rows for a tagger, and the rows set aside."""

    rows: list[TaggedText]
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that occurs, in alphabetical order."""
        return tuple(sorted({span.label for row in self.rows for span in row.spans}))

    @property
    def sha256(self) -> str:
        """A hash of all texts and spans, for the manifest."""
        digest = hashlib.sha256()
        for row in self.rows:
            spans = [f"{span.start} {span.end} {span.label}" for span in row.spans]
            digest.update(("\x1f".join([row.text, *spans]) + "\x1e").encode())
        return digest.hexdigest()


def check_tagged_texts(rows: Sequence[TaggedText]) -> None:
    """Refuse rows that no tagger can learn from.

    Raises:
        TrainingDataError: if there are fewer than two texts, or fewer than two with spans.
    """
    num_texts = len({row.text for row in rows})
    if num_texts < 2:
        msg = f"a tagger needs at least two texts, found {num_texts}: one is held out to judge by; add texts"
        raise TrainingDataError(msg)
    num_tagged = len({row.text for row in rows if row.spans})
    if num_tagged < 2:
        msg = (
            f"a tagger needs spans in at least two texts, found {num_tagged} of {num_texts} texts with any; "
            "check the column of tags, or the offsets"
        )
        raise TrainingDataError(msg)


def split_tagged_texts(
    rows: Sequence[TaggedText], *, held_out_share: float, seed: int
) -> tuple[list[TaggedText], list[TaggedText]]:
    """Return (kept, held out): the same share of texts with spans and of those without, equal texts on one side.

    The split depends on texts and seed only, not on the order of rows. Every label keeps a text, and one text with
    spans at least is held out.

    Example:
        >>> rows = [TaggedText(f"{i} Lyon", (LabelledSpan(2, 6, "place"),)) for i in range(10)]
        >>> [len(part) for part in split_tagged_texts(rows, held_out_share=0.2, seed=0)]
        [8, 2]
    """
    by_text: dict[str, set[str]] = {}
    for row in rows:
        by_text.setdefault(row.text, set()).update(span.label for span in row.spans)
    num_left = Counter(label for labels in by_text.values() for label in labels)
    chosen: set[str] = set()
    for has_spans in (True, False):
        texts = sorted(
            (text for text in by_text if bool(by_text[text]) == has_spans), key=lambda text: draw(seed, text)
        )
        num_wanted = max(int(has_spans), round(len(texts) * held_out_share))
        for text in texts:
            if num_wanted and all(num_left[label] > 1 for label in by_text[text]):
                chosen.add(text)
                num_wanted -= 1
                num_left.subtract(by_text[text])
    if not any(by_text[text] for text in chosen):
        msg = "each text holds the only spans of some label, so none can be held out to judge by; add texts"
        raise TrainingDataError(msg)
    return [row for row in rows if row.text not in chosen], [row for row in rows if row.text in chosen]
