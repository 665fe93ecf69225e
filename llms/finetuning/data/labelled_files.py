"""Files of labelled texts, read and checked for training classifiers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from llms.errors import InputTextError, OptionValueError, TrainingDataError
from llms.finetuning.data.examples import (
    ClassifierRow,
    LabelledText,
    LabelledTexts,
    MultiLabelText,
    MultiLabelTexts,
    labels_of,
)
from llms.finetuning.data.labels import cell_text, match_labels, merge_labels
from llms.finetuning.data.tables import RejectedRow, Row, read_table, refuse_bad_file
from llms.texts.checks import check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The names under which a row has its parts; None for a part it does without."""

    text: str
    label: str
    group: str | None
    time: str | None

    @property
    def names(self) -> list[str]:
        return [name for name in (self.text, self.label, self.group, self.time) if name is not None]


def read_labelled_texts(
    path: Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    group_column: str | None = None,
    time_column: str | None = None,
) -> LabelledTexts:
    """Return the labelled texts of a CSV, JSON or Parquet file; rows without text or label are set aside.

    Labels are texts: 1, 1.0 and "1" are one label, null and NaN are none. Spellings that are read the same are one
    label, too, see `merge_labels`. Set aside are also rows without group, or with a time that is not ISO 8601, where
    these columns are named. A time without zone is taken as UTC.

    Raises:
        DataFileError: as `read_table`.
    """
    columns = _Columns(text=text_column, label=label_column, group=group_column, time=time_column)
    table = read_table(path, columns.names)
    rows: list[LabelledText] = []
    rejected = list(table.rejected)
    for row in table.rows:
        try:
            group, time = _group_and_time(row, columns)
            if isinstance(row.values[label_column], list):
                msg = f"{label_column}: a list; for texts with several labels train with --multi-label"
                raise TrainingDataError(msg)
            text, label = (_required(row, name) for name in (columns.text, columns.label))
            rows.append(LabelledText(text, label, group, time, line=row.line))
        except TrainingDataError as error:
            rejected.append(RejectedRow(row.line, str(error)))
    refuse_bad_file(path, rows, rejected)
    label_of, merged = merge_labels(row.label for row in rows)
    rows = [replace(row, label=label_of[row.label]) for row in rows]
    return LabelledTexts(rows, sorted(rejected, key=lambda row: row.line), merged)


def read_multi_label_texts(
    path: Path,
    *,
    text_column: str = "text",
    label_column: str = "labels",
    separator: str = "|",
    group_column: str | None = None,
    time_column: str | None = None,
) -> MultiLabelTexts:
    """Return the texts of a CSV, JSON or Parquet file with the labels of each.

    A cell of labels is a list, or a text that `separator` divides. An empty one is a text without a label; a JSON
    null says nothing, so its row is set aside. Labels, groups and times are read as by `read_labelled_texts`.

    Raises:
        DataFileError: as `read_table`.
        OptionValueError: if the separator is empty.
    """
    if not separator:
        msg = "separator must be at least one character, got ''; labels that stand in a list need none"
        raise OptionValueError(msg)
    columns = _Columns(text=text_column, label=label_column, group=group_column, time=time_column)
    table = read_table(path, columns.names)
    rows: list[MultiLabelText] = []
    rejected = list(table.rejected)
    for row in table.rows:
        try:
            group, time = _group_and_time(row, columns)
            labels = _split_labels(row.values[label_column], separator, label_column)
            rows.append(MultiLabelText(_required(row, text_column), labels, group, time, line=row.line))
        except TrainingDataError as error:
            rejected.append(RejectedRow(row.line, str(error)))
    refuse_bad_file(path, rows, rejected)
    label_of, merged = merge_labels(label for row in rows for label in row.labels)
    rows = [replace(row, labels=tuple(label_of[label] for label in row.labels)) for row in rows]
    return MultiLabelTexts(rows, sorted(rejected, key=lambda row: row.line), merged)


Texts = TypeVar("Texts", bound=LabelledTexts | MultiLabelTexts)


def spell_labels_like(texts: Texts, known: Sequence[ClassifierRow]) -> Texts:
    """Return rows whose labels are spelled as in `known`, where that has one which is read the same.

    Example:
        >>> test = LabelledTexts([LabelledText("Where is it?", "1.0")])
        >>> spell_labels_like(test, [LabelledText("Is it late?", "1")]).rows[0].label
        '1'
    """
    labels = sorted({label for row in known for label in labels_of(row)})
    label_of = match_labels({label for row in texts.rows for label in labels_of(row)}, labels)
    if isinstance(texts, MultiLabelTexts):
        return replace(
            texts, rows=[replace(row, labels=tuple(label_of[label] for label in row.labels)) for row in texts.rows]
        )
    return replace(texts, rows=[replace(row, label=label_of[row.label]) for row in texts.rows])


def check_training_rows(rows: Sequence[ClassifierRow]) -> None:
    """Refuse rows that no classifier can learn from.

    Raises:
        TrainingDataError: if there are fewer than two labels, or a label has a single example; for rows with
            several labels: if there is no label, or one stands in a single row or in all of them.
    """
    counts = Counter(label for row in rows for label in labels_of(row))
    is_multi_label = any(isinstance(row, MultiLabelText) for row in rows)
    if len(counts) < (1 if is_multi_label else 2):
        least = "one label" if is_multi_label else "two labels"
        msg = f"a classifier needs at least {least}, found {len(counts)}: {sorted(counts)}; check the label column"
        raise TrainingDataError(msg)
    if rare := sorted(label for label, count in counts.items() if count < 2):
        shown = ", ".join(repr(label) for label in rare[:5])
        msg = (
            f"{len(rare)} of {len(counts)} labels have a single example: {shown}; "
            "add examples (10 or more are advised), or remove or merge these labels"
        )
        raise TrainingDataError(msg)
    if is_multi_label and (everywhere := sorted(label for label, count in counts.items() if count == len(rows))):
        msg = f"every row has the label {everywhere[0]!r}, so nothing shows when it is wrong; add rows without it"
        raise TrainingDataError(msg)


def _required(row: Row, column: str) -> str:
    if text := cell_text(row.values[column]):
        return text
    msg = f"empty {column}, or no text"
    raise TrainingDataError(msg)


def _group_and_time(row: Row, columns: _Columns) -> tuple[str | None, datetime | None]:
    group = _required(row, columns.group) if columns.group else None
    return group, _parse_time(row.values[columns.time], columns.time) if columns.time else None


def _parse_time(value: Any, column: str) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(cell_text(value))
    except ValueError as error:
        msg = f"{column}: {value!r:.60} is no time in ISO 8601, such as 2026-03-01T12:00:00+00:00"
        raise TrainingDataError(msg) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _split_labels(value: Any, separator: str, column: str) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else cell_text(value).split(separator)
    is_text = isinstance(value, str) or cell_text(value) != ""
    labels = [cell_text(part) for part in parts]
    if not (is_text or isinstance(value, list)) or (not is_text and not all(labels)):
        msg = f"{column} must be a list of texts, or a text, got {value!r:.60}; give an empty list for no label"
        raise TrainingDataError(msg)
    try:
        return tuple(check_text(label) for label in labels if label)
    except InputTextError as error:
        msg = f"{column}: {error}"
        raise TrainingDataError(msg) from error
