"""Files of tagged texts: spans or tokens with tags, in JSON, Parquet or the columns of CoNLL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError, OptionValueError, TrainingDataError
from llms.finetuning.data.tables import (
    JSON_SUFFIXES,
    MAX_CELL_CHARS,
    RejectedRow,
    decode_file,
    read_bytes,
    read_table,
    refuse_bad_file,
)
from llms.finetuning.tagger.data import LabelledSpan, TaggedText, TaggedTexts
from llms.tagger.scheme import bio_spans, to_bio
from llms.texts.checks import check_text
from llms.texts.scripts import is_chinese

_TABLE_SUFFIXES = (*JSON_SUFFIXES, ".parquet")
_OTHER_SUFFIXES = (".csv", ".xlsx")
_SPAN_NAMES = ("spans", "entities", "label", "labels")  # the last two are doccano's
_OFFSET_NAMES = (("start", "end"), ("start_offset", "end_offset"))
_TAG_NAMES = ("tags", "ner_tags", "labels")
_INFO_NAMES = ("dataset_info.json", "dataset_infos.json")  # what data sets of the hub have beside their files
_HAN_SHARE = 0.3  # of the letters in a file's tokens, from which on they are joined without spaces
_CUT_SHARE = 0.5  # of the spans, from which on it is no chance that they end one character too early
_EXAMPLE = '{"text": "Ann is in Lyon", "spans": [{"start": 10, "end": 14, "label": "place"}]}'

_Rows = tuple[list[TaggedText], list[RejectedRow]]
_Sentence = list[tuple[int, list[str]]]  # line and cells of each token


def read_tagged_texts(
    path: Path, *, separator: str | None = None, tag_names: Sequence[str] | None = None
) -> TaggedTexts:
    """Return the tagged texts of a file; rows that cannot be used are set aside with their line.

    JSON (`.jsonl`, `.ndjson`, `.json`) and Parquet hold spans, `{"text", "spans": [{"start", "end", "label"}]}`, where
    spans may also be called `entities`, or `label` as doccano does, and be lists `[start, end, label]`; tokens with
    tags, `{"tokens": [...], "tags": [...]}`, also as `ner_tags`; or tasks of Label Studio. Any other ending is CoNLL: a
    token and its tag in a line, whatever columns lie between, an empty line between sentences, `-DOCSTART-` skipped.
    Tags are BIO, IOB1, BIOES, BMES or BILOU.

    Args:
        separator: what tokens are joined with; None is a space, and nothing for a file in Chinese.
        tag_names: what tags that are numbers mean, from 0 on; None looks in the Parquet file itself and in a
            `dataset_info.json` beside the file.

    Raises:
        DataFileError: if the file is missing, empty, of another kind, more than half of its rows are unusable, or most
            of its spans end within a word, one character too early.
    """
    if path.suffix.lower() in _OTHER_SUFFIXES:
        msg = f"{path} is no file of tagged texts; save it as JSON lines (.jsonl) or in CoNLL's columns"
        raise DataFileError(msg)
    if path.suffix.lower() in _TABLE_SUFFIXES:
        rows, rejected = _read_table(path, separator, tag_names)
        refuse_bad_file(path, rows, rejected, example=_EXAMPLE)
        _refuse_cut_words(path, rows)
    else:
        rows, rejected = _read_conll(path, separator)
    return TaggedTexts(rows, sorted(rejected, key=lambda row: row.line))


def _read_table(path: Path, separator: str | None, tag_names: Sequence[str] | None) -> _Rows:
    table = read_table(path, [], example=_EXAMPLE)
    rows: list[TaggedText] = []
    rejected = list(table.rejected)
    tokens = [row.values["tokens"] for row in table.rows if isinstance(row.values.get("tokens"), list)]
    joined_with = _separator(separator, [str(token) for part in tokens for token in part])
    names = tuple(tag_names) if tag_names else (_known_tag_names(path) if tokens else ())
    for row in table.rows:
        try:
            if "tokens" in row.values:
                texts, tags = _tokens_and_tags(row.values, names)
                rows.append(_join_tokens(texts, tags, joined_with, row.line))
            else:
                rows.append(_spans_row(row.values, row.line))
        except (TrainingDataError, InputTextError, OptionValueError) as error:
            rejected.append(RejectedRow(row.line, str(error)))
    return rows, rejected


# --- spans


def _spans_row(values: Mapping[str, Any], line: int) -> TaggedText:
    values = _from_label_studio(values)
    text = values.get("text")
    if not isinstance(text, str) or not text.strip():
        msg = "empty text, or no text"
        raise TrainingDataError(msg)
    name = next((name for name in _SPAN_NAMES if name in values), None)
    if name is None or not isinstance(values[name], list):
        msg = 'no list "spans"; give an empty one for a text without any'
        raise TrainingDataError(msg)
    checked = check_text(text, max_chars=MAX_CELL_CHARS)
    return TaggedText(checked, tuple(_span(span, checked) for span in values[name]), line)


def _from_label_studio(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return text and spans of a task, from the first annotation that is not cancelled; other rows as they are.

    Raises:
        TrainingDataError: if nobody has annotated the task: what it holds is unknown, not nothing.
    """
    if not isinstance(values.get("data"), dict) or not isinstance(values.get("annotations"), list):
        return values
    annotations = [each for each in values["annotations"] if isinstance(each, dict) and not each.get("was_cancelled")]
    if not annotations:
        msg = "a task that nobody has annotated; annotate it, or submit it without any span if there is none"
        raise TrainingDataError(msg)
    found = [result.get("value") for result in annotations[0].get("result") or () if isinstance(result, dict)]
    spans = [
        value | {"label": value["labels"][0]} for value in found if isinstance(value, dict) and value.get("labels")
    ]
    return {"text": values["data"].get("text"), "spans": spans}


def _span(span: Any, text: str) -> LabelledSpan:
    """Return a span without the white space at its ends."""
    if isinstance(span, dict):
        first, last = next((names for names in _OFFSET_NAMES if names[0] in span), _OFFSET_NAMES[0])
        span = [span.get(name) for name in (first, last, "label")]
    if isinstance(span, list):
        span = [int(part) if isinstance(part, float) and part.is_integer() else part for part in span]
    if not isinstance(span, list) or [type(part) for part in span] != [int, int, str]:
        msg = f'a span must be {{"start", "end", "label"}} or [start, end, label], got {span!r:.80}'
        raise TrainingDataError(msg)
    start, end, label = span
    part = text[start:end] if 0 <= start < end <= len(text) else ""
    if part.strip():
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    return LabelledSpan(start, end, label.strip())


def _refuse_cut_words(path: Path, rows: Sequence[TaggedText]) -> None:
    """Refuse a file most of whose spans leave out the last letter of a word: their ends include the last character."""
    spans = [(row, span) for row in rows for span in row.spans]
    cut = [(row, span) for row, span in spans if _lacks_last_letter(row.text, span.end)]
    if len(cut) < 2 or len(cut) <= _CUT_SHARE * len(spans):
        return
    row, span = cut[0]
    msg = (
        f"{path}: {len(cut)} of {len(spans)} spans leave out the last letter of a word, the first in line {row.line}: "
        f'{row.text[span.start : span.end]!r:.40} of {row.text[span.start : span.end + 1]!r:.40}; "end" is the place '
        "behind the last character: add 1 to every end"
    )
    raise DataFileError(msg)


def _lacks_last_letter(text: str, end: int) -> bool:
    """Return whether a word goes on at `end`, and is at its own end one character later."""
    if end >= len(text) or not all(_is_letter(character) for character in text[end - 1 : end + 1]):
        return False
    return end + 1 == len(text) or not _is_letter(text[end + 1])


def _is_letter(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"  # in Chinese and Japanese every character may end a word


# --- tokens and tags


def _tokens_and_tags(values: Mapping[str, Any], names: Sequence[str]) -> tuple[list[str], list[str]]:
    column = next((name for name in _TAG_NAMES if name in values), "tags")
    tokens, tags = values.get("tokens"), values.get(column)
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        msg = f"tokens and {column} must be two lists of texts of one length"
        raise TrainingDataError(msg)
    if tags and all(type(tag) is int for tag in tags):
        tags = _named_tags(tags, names, column)
    if not all(isinstance(part, str) for part in [*tokens, *tags]):
        msg = f"tokens and {column} must be two lists of texts"
        raise TrainingDataError(msg)
    return tokens, tags


def _named_tags(tags: Sequence[int], names: Sequence[str], column: str) -> list[str]:
    if not names:
        msg = (
            f"{column} are numbers, and nothing says what they mean; name them in their order with "
            "--tag-names O,B-PER,I-PER,... or put the data set's dataset_info.json beside the file"
        )
        raise TrainingDataError(msg)
    if strange := [tag for tag in tags if not 0 <= tag < len(names)]:
        msg = f"{column} hold {strange[0]}, but only 0 to {len(names) - 1} have a name: {', '.join(names)}"
        raise TrainingDataError(msg)
    return [names[tag] for tag in tags]


def _known_tag_names(path: Path) -> tuple[str, ...]:
    """Return the names of tags that a data set of the hub keeps in its Parquet files or in a file beside."""
    descriptions = [_read_json(path.parent / name) for name in _INFO_NAMES]
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        metadata = parquet.read_schema(path).metadata or {}
        descriptions.insert(0, _parse_json(metadata.get(b"huggingface", b"")))
    return next((names for description in descriptions if (names := _find_names(description))), ())


def _find_names(description: Any) -> tuple[str, ...]:
    """Return the names of the first column of tags in a description of features, however deep it stands."""
    if not isinstance(description, dict):
        return ()
    for column in _TAG_NAMES:
        feature = description.get(column)
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return next((names for part in description.values() if (names := _find_names(part))), ())


def _read_json(path: Path) -> Any:
    return _parse_json(read_bytes(path)) if path.is_file() else None


def _parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None  # it says nothing of tags, which is said where they are needed


# --- the columns of CoNLL


def _read_conll(path: Path, separator: str | None) -> _Rows:
    text, encoding_problem = decode_file(path, read_bytes(path))
    sentences = list(_sentences(text))
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
    refuse_bad_file(path, rows, rejected, encoding_problem=encoding_problem)
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
    spans = [LabelledSpan(starts[first], ends[end - 1], label) for first, end, label in bio_spans(to_bio(tags))]
    return TaggedText(check_text(separator.join(tokens), max_chars=MAX_CELL_CHARS), tuple(spans), line)
