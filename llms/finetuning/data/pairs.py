"""Files of text pairs that belong together or do not, for embeddings and rerankers."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llms.errors import InputTextError, TrainingDataError
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.data.labels import cell_text
from llms.finetuning.data.tables import MAX_CELL_CHARS, RejectedRow, Row, read_table, refuse_bad_file
from llms.texts.checks import check_text

_MIN_POSITIVE_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class TextPair:
    """A query, a document, and how well the one answers the other.

    Attributes:
        hard_negatives: documents that look like an answer and are none.
        score: 0 to 1; None means that the document answers the query.
        group: pairs of one group say the same, such as the wordings of one question: none of their documents is a
            negative for another's query, and they stay on one side when pairs are held out.
        line: where it stands in its file, for messages.
    """

    query: str
    document: str
    hard_negatives: tuple[str, ...] = ()
    score: float | None = None
    group: str | None = None
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if isinstance(self.hard_negatives, str):
            msg = f"hard_negatives must be a tuple of texts, got a text; write ({self.hard_negatives[:40]!r},)"
            raise TrainingDataError(msg)
        if self.score is not None and not 0 <= self.score <= 1:
            msg = f"score must lie between 0 and 1, got {self.score}"
            raise TrainingDataError(msg)

    @property
    def is_positive(self) -> bool:
        """Whether the document answers the query.

        Example:
            >>> TextPair("a", "b").is_positive, TextPair("a", "b", score=0.2).is_positive
            (True, False)
        """
        return self.score is None or self.score > _MIN_POSITIVE_SCORE


@dataclass(frozen=True, slots=True)
class TextPairs:
    """Training or test pairs, and the rows set aside."""

    rows: list[TextPair]
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """A hash of all texts, scores and groups, for the manifest."""
        digest = hashlib.sha256()
        for row in self.rows:
            parts = [row.query, row.document, *row.hard_negatives, f"score {row.score}", f"group {row.group}"]
            digest.update(("\x1f".join(parts) + "\x1e").encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    query: str
    document: str
    negative: str
    scores: tuple[str, ...]
    group: str | None


def read_pairs(
    path: Path,
    *,
    query_column: str = "query",
    document_column: str = "document",
    negative_column: str = "negative",
    score_column: str | None = None,
    group_column: str | None = None,
) -> TextPairs:
    """Return the pairs of a CSV, JSON or Parquet file; rows that cannot be used are set aside with their line.

    Negatives may be missing. Where they are there, they stand in the column `negative_column`, as one text or as a
    JSON list, or in columns with a number behind that name (`negative_1`, `negative_2`, ...). Triplets are read with
    `query_column="anchor", document_column="positive"`.

    Args:
        score_column: numbers from 0 to 1, where 0/1 is no or yes; None takes `score` or `label` if there is such a
            column. A row without one is a pair that belongs together; null and NaN say the same.
        group_column: pairs of one group are never each other's negatives.

    Raises:
        DataFileError: as `read_table`; also if more than half of the rows had to be set aside.
    """
    columns = _Columns(
        query=query_column,
        document=document_column,
        negative=negative_column,
        scores=(score_column,) if score_column else ("score", "label"),
        group=group_column,
    )
    named = (query_column, document_column, score_column, group_column)
    table = read_table(path, [name for name in named if name is not None])
    rows: list[TextPair] = []
    rejected = list(table.rejected)
    for row in table.rows:
        try:
            rows.append(_to_pair(row, columns))
        except TrainingDataError as error:
            rejected.append(RejectedRow(row.line, str(error)))
    refuse_bad_file(path, rows, rejected)
    return TextPairs(rows, sorted(rejected, key=lambda row: row.line))


def pairs_from_labels(rows: Sequence[LabelledText], *, seed: int = 0) -> TextPairs:
    """Return a pair for each text: the text and another one of its label, which is the pair's group.

    A label with a single text gives no pair. The same rows and seed give the same pairs.

    Example:
        >>> rows = [LabelledText("card lost", "card"), LabelledText("card gone", "card"), LabelledText("hi", "other")]
        >>> [(pair.query, pair.document) for pair in pairs_from_labels(rows).rows]
        [('card lost', 'card gone'), ('card gone', 'card lost')]
    """
    by_label: dict[str, list[str]] = {}
    for row in rows:
        texts = by_label.setdefault(row.label, [])
        if row.text not in texts:
            texts.append(row.text)
    generator = np.random.default_rng(seed)
    pairs: list[TextPair] = []
    for label, texts in by_label.items():
        if len(texts) < 2:
            continue
        # one circle through all texts in random order: nobody is paired with itself, and each is a document once
        order = generator.permutation(len(texts))
        partner = {int(order[i - 1]): int(index) for i, index in enumerate(order)}
        pairs += [TextPair(text, texts[partner[index]], group=label) for index, text in enumerate(texts)]
    return TextPairs(pairs)


def _to_pair(row: Row, columns: _Columns) -> TextPair:
    return TextPair(
        query=_text(row.values[columns.query], columns.query),
        document=_text(row.values[columns.document], columns.document),
        hard_negatives=_negatives(row.values, columns.negative),
        score=_score(row.values, columns.scores),
        group=_text(row.values[columns.group], columns.group) if columns.group else None,
        line=row.line,
    )


def _text(value: Any, column: str) -> str:
    text = "" if isinstance(value, bool) else cell_text(value)
    if not text:
        msg = f"empty {column}, or no text"
        raise TrainingDataError(msg)
    try:
        return check_text(text, max_chars=MAX_CELL_CHARS)
    except InputTextError as error:
        msg = f"{column}: {error}"
        raise TrainingDataError(msg) from error


def _negatives(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the negatives of a row; empty cells are none, since rows may have different numbers of them."""
    numbered = [column for column in values if re.fullmatch(rf"{re.escape(name)}_\d+", column)]
    negatives: list[str] = []
    for column in [name, *sorted(numbered, key=lambda column: int(column.rsplit("_", 1)[1]))]:
        cells = _as_list(values.get(column), column)
        negatives += [_text(cell, column) for cell in cells if not _is_missing(cell)]
    return tuple(dict.fromkeys(negatives))


def _is_missing(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _as_list(value: Any, column: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if not (isinstance(value, str) and value.lstrip().startswith('["')):  # a text may begin with a bracket, too
        return [value]
    try:
        cells = json.loads(value)
    except ValueError as error:
        msg = f"{column}: begins as a JSON list and is none: {error}"
        raise TrainingDataError(msg) from error
    return list(cells)


def _score(values: Mapping[str, Any], names: Sequence[str]) -> float | None:
    name = next((name for name in names if name in values), None)
    if name is None or (_is_missing(values[name]) and values[name] != ""):
        return None
    try:
        score = float(values[name])
    except (TypeError, ValueError):
        score = float("nan")
    if not 0 <= score <= 1:
        msg = f"{name}: {values[name]!r:.40} is no number from 0 to 1"
        raise TrainingDataError(msg)
    return score
