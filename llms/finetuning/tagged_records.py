"""Files of tagged texts to training rows: CoNLL columns, or JSON lines with spans or tags."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llms.entity_metrics import bio_spans
from llms.errors import DataFileError, InputTextError, OptionValueError, TrainingDataError
from llms.finetuning.tables import MAX_CELL_CHARS, RejectedRow, read_table, refuse_bad_file
from llms.finetuning.tagged_rows import LabelledSpan, TaggedText, TaggedTexts
from llms.texts import check_text
from llms.words import is_han

__all__ = ["LabelledSpan", "TaggedText", "TaggedTexts", "read_tagged_texts"]

_JSON_SUFFIXES = (".jsonl", ".ndjson")
_TABLE_SUFFIXES = (".csv", ".parquet", ".json", ".xlsx")
_SPAN_NAMES = ("spans", "entities")
_HAN_SHARE = 0.3  # of the letters in a file's tokens, from which on they are joined without spaces

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
    sentences = list(_sentences(_read_text(path)))
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
            tokens, tags = ([cells[place] for _, cells in sentence] for place in (0, -1))
            rows.append(_join_tokens(tokens, tags, joined_with, first_line))
        except (TrainingDataError, InputTextError, OptionValueError) as error:
            rejected.append(RejectedRow(first_line, str(error)))
    return rows, rejected


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except FileNotFoundError as error:
        msg = f"there is no file {path}; check the path"
        raise DataFileError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DataFileError(msg) from error


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
    letters = [character for token in tokens for character in token if character.isalpha()]
    num_han = sum(is_han(character) for character in letters)
    return "" if letters and num_han > _HAN_SHARE * len(letters) else " "


def _join_tokens(tokens: Sequence[str], tags: Sequence[str], separator: str, line: int) -> TaggedText:
    """Return the tokens as a text, and the spans of their tags in its characters."""
    if empty := [place for place, token in enumerate(tokens, start=1) if not token.strip()]:
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
