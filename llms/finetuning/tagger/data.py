"""Training rows for taggers: texts with labelled spans, checked when they are made."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError, OptionValueError, TrainingDataError
from llms.finetuning.data.splits import draw
from llms.finetuning.data.tables import MAX_CELL_CHARS, RejectedRow, read_bytes, read_table, refuse_bad_file
from llms.tagger.scheme import bio_spans
from llms.texts.checks import check_text
from llms.texts.scripts import is_chinese

_JSON_SUFFIXES = (".jsonl", ".ndjson")
_TABLE_SUFFIXES = (".csv", ".parquet", ".json", ".xlsx")
_SPAN_NAMES = ("spans", "entities")
_HAN_SHARE = 0.3  # of the letters in a file's tokens, from which on they are joined without spaces


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


_Sentence = list[tuple[int, list[str]]]  # line and cells of each token


def read_tagged_texts(path: Path, *, separator: str | None = None) -> TaggedTexts:
    """Return the tagged texts of a file; rows that cannot be used are set aside with their line.

    Two forms are read. JSON lines (`.jsonl`, `.ndjson`): `{"text", "spans": [{"start", "end", "label"}]}`, also with
    `"entities"`, or with lists `[start, end, label]`; or `{"tokens": [...], "tags": [...]}`. Any other ending is
    CoNLL: a token and its tag in a line, whatever columns lie between, an empty line between sentences, `-DOCSTART-`
    skipped. Tags are BIO or IOB1.

    Args:
        separator: what tokens are joined with; None is a space, and nothing for a file in Chinese.

    Raises:
        DataFileError: if the file is missing, empty, of another kind, or more than half of its rows are unusable.
    """
    if path.suffix.lower() in _TABLE_SUFFIXES:
        msg = f"{path} is no file of tagged texts; save it as JSON lines (.jsonl) or in CoNLL's columns"
        raise DataFileError(msg)
    read = _read_json if path.suffix.lower() in _JSON_SUFFIXES else _read_conll
    rows, rejected = read(path, separator)
    refuse_bad_file(path, rows, rejected)
    return TaggedTexts(rows, sorted(rejected, key=lambda row: row.line))


def _read_json(path: Path, separator: str | None) -> tuple[list[TaggedText], list[RejectedRow]]:
    table = read_table(path, [])
    rows: list[TaggedText] = []
    rejected = list(table.rejected)
    tokens = [row.values["tokens"] for row in table.rows if isinstance(row.values.get("tokens"), list)]
    joined_with = _separator(separator, [str(token) for part in tokens for token in part])
    for row in table.rows:
        try:
            rows.append(_json_row(row.values, row.line, joined_with))
        except (TrainingDataError, InputTextError, OptionValueError) as error:
            rejected.append(RejectedRow(row.line, str(error)))
    return rows, rejected


def _json_row(values: dict[str, Any], line: int, separator: str) -> TaggedText:
    if "tokens" in values:
        tokens, tags = (_texts(values.get(name)) for name in ("tokens", "tags"))
        if tokens is None or tags is None or len(tokens) != len(tags):
            msg = "tokens and tags must be two lists of texts of one length"
            raise TrainingDataError(msg)
        return _join_tokens(tokens, tags, separator, line)
    text = values.get("text")
    if not isinstance(text, str) or not text.strip():
        msg = "empty text, or no text"
        raise TrainingDataError(msg)
    name = next((name for name in _SPAN_NAMES if name in values), None)
    if name is None or not isinstance(values[name], list):
        msg = 'no list "spans"; give an empty one for a text without any'
        raise TrainingDataError(msg)
    checked = check_text(text, max_chars=MAX_CELL_CHARS)
    return TaggedText(checked, tuple(_json_span(span, checked) for span in values[name]), line)


def _texts(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(part, str) for part in value) else None


def _json_span(span: Any, text: str) -> LabelledSpan:
    """Return a span without the white space at its ends."""
    if isinstance(span, dict):
        span = [span.get(name) for name in ("start", "end", "label")]
    if not isinstance(span, list) or [type(part) for part in span] != [int, int, str]:
        msg = f'a span must be {{"start", "end", "label"}} or [start, end, label], got {span!r:.80}'
        raise TrainingDataError(msg)
    start, end, label = span
    part = text[start:end] if 0 <= start < end <= len(text) else ""
    if part.strip():
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    return LabelledSpan(start, end, label.strip())


def _read_conll(path: Path, separator: str | None) -> tuple[list[TaggedText], list[RejectedRow]]:
    sentences = list(_sentences(read_bytes(path).decode("utf-8-sig", errors="surrogateescape")))
    joined_with = _separator(separator, [cells[0] for sentence in sentences for _, cells in sentence])
    rows: list[TaggedText] = []
    rejected: list[RejectedRow] = []
    for sentence in sentences:
        first_line = sentence[0][0]
        short = [line for line, cells in sentence if len(cells) < 2]
        if short:
            rejected.append(RejectedRow(short[0], "a token without a tag"))
            continue
        try:
            tokens, tags = ([cells[index] for _, cells in sentence] for index in (0, -1))
            rows.append(_join_tokens(tokens, tags, joined_with, first_line))
        except (TrainingDataError, InputTextError, OptionValueError) as error:
            rejected.append(RejectedRow(first_line, str(error)))
    return rows, rejected


def _sentences(text: str) -> Iterator[_Sentence]:
    """Yield the sentences of a CoNLL file; what lies between tabs, or else between spaces, is a cell."""
    sentence: _Sentence = []
    for line, row in enumerate(text.split("\n"), start=1):
        cells = [cell.strip() for cell in row.strip().split("\t")] if "\t" in row.strip() else row.split()
        if not cells or cells[0].startswith("-DOCSTART-"):
            if sentence:
                yield sentence
            sentence = []
        else:
            sentence.append((line, cells))
    if sentence:
        yield sentence


def _separator(given: str | None, tokens: Sequence[str]) -> str:
    if given is not None:
        return given
    return "" if is_chinese("".join(tokens), min_share=_HAN_SHARE) else " "


def _join_tokens(tokens: Sequence[str], tags: Sequence[str], separator: str, line: int) -> TaggedText:
    """Return the tokens as a text, and the spans of their tags in its characters."""
    if empty := [index for index, token in enumerate(tokens, start=1) if not token.strip()]:
        msg = f"token {empty[0]} is empty"
        raise TrainingDataError(msg)
    ends: list[int] = []
    length = -len(separator)
    for token in tokens:
        length += len(separator) + len(token)
        ends.append(length)
    starts = [end - len(token) for end, token in zip(ends, tokens, strict=True)]
    spans = [LabelledSpan(starts[first], ends[end - 1], label) for first, end, label in bio_spans(tags)]
    return TaggedText(check_text(separator.join(tokens), max_chars=MAX_CELL_CHARS), tuple(spans), line)
