"""Files of records to checked rows: what cannot be used is set aside with its line number, never dropped."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llms.errors import DataFileError, InputTextError, TrainingDataError
from llms.texts import check_text

__all__ = [
    "LabelledText",
    "LabelledTexts",
    "RejectedRow",
    "Row",
    "Table",
    "check_training_rows",
    "check_values",
    "read_labelled_texts",
    "read_table",
    "refuse_bad_file",
    "split_rows",
]

_FEW_HELD_OUT = 3
MAX_CELL_CHARS = 20_000
MAX_REJECTED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was set aside: where it stands and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record and the line it starts on (the header of a CSV file is line 1)."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The usable rows of a file and those set aside."""

    rows: list[Row]
    rejected: list[RejectedRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Training or test rows for a classifier, and the rows set aside."""

    rows: list[LabelledText]
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """A hash of all texts and labels, for the manifest."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(f"{row.text}\x1f{row.label}\x1e".encode())
        return digest.hexdigest()


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Return the rows of a `.csv` or `.jsonl` file, each with the named columns.

    A row with bytes that are not UTF-8, a NUL, a lone surrogate, more than 20,000 characters in a cell, or too
    few or too many cells is set aside with its line number. A byte-order mark is skipped.

    Raises:
        DataFileError: if the file is missing, empty, of another kind, lacks a column, or if more than half of
            its rows had to be set aside (then it is the file that is wrong, not the rows).
    """
    raw = _read_bytes(path)
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    is_json = path.suffix.lower() in (".jsonl", ".ndjson")
    records = _json_records(text) if is_json else _csv_records(path, text, columns)
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    for line, values, problem in records:
        reason = problem or check_values(values, columns)
        if reason:
            rejected.append(RejectedRow(line, reason))
        else:
            rows.append(Row(line, values))
    refuse_bad_file(path, rows, rejected)
    return Table(rows, rejected)


def read_labelled_texts(path: Path, *, text_column: str = "text", label_column: str = "label") -> LabelledTexts:
    """Return the labelled texts of a CSV or JSONL file; rows without text or label are set aside.

    Raises:
        DataFileError: as `read_table`.
    """
    table = read_table(path, [text_column, label_column])
    rows: list[LabelledText] = []
    rejected = list(table.rejected)
    for row in table.rows:
        text, label = _as_text(row.values[text_column]), _as_text(row.values[label_column])
        if text and label:
            rows.append(LabelledText(text, label))
        else:
            rejected.append(RejectedRow(row.line, f"empty {label_column if text else text_column}, or no text"))
    refuse_bad_file(path, rows, rejected)
    return LabelledTexts(rows, sorted(rejected, key=lambda row: row.line))


def _as_text(value: Any) -> str:
    """Return a cell as text; a JSON null, list or mapping is none, and must not become the label 'None'."""
    return str(value).strip() if isinstance(value, str | int | float) else ""


def check_training_rows(rows: Sequence[LabelledText]) -> None:
    """Refuse rows that no classifier can learn from.

    Raises:
        TrainingDataError: if there are fewer than two labels, or a label has a single example.
    """
    counts = Counter(row.label for row in rows)
    if len(counts) < 2:
        msg = f"a classifier needs at least two labels, found {len(counts)}: {sorted(counts)}; check the label column"
        raise TrainingDataError(msg)
    if rare := sorted(label for label, count in counts.items() if count < 2):
        shown = ", ".join(repr(label) for label in rare[:5])
        msg = (
            f"{len(rare)} of {len(counts)} labels have a single example: {shown}; "
            "add examples (10 or more are advised), or remove or merge these labels"
        )
        raise TrainingDataError(msg)


def split_rows(
    rows: Sequence[LabelledText], *, held_out_share: float, seed: int
) -> tuple[list[LabelledText], list[LabelledText]]:
    """Return (kept, held out), the same share of every label, at least one row of each in both.

    Of labels with few rows up to a fifth is held out, so that there are three rows to judge by.

    Equal texts stay on one side, so a label whose texts are all equal is only kept. A text that stands under
    several labels is kept too, unless a label has no other. The split depends on the texts and the seed only,
    not on the order of rows.
    """
    by_label: dict[str, dict[str, list[LabelledText]]] = {}
    for row in rows:
        by_label.setdefault(row.label, {}).setdefault(row.text.casefold(), []).append(row)
    num_labels = Counter(key for groups in by_label.values() for key in groups)
    kept: list[LabelledText] = []
    held_out: list[LabelledText] = []
    for groups in by_label.values():
        keys = sorted(groups, key=lambda key: (num_labels[key] > 1, hashlib.sha256(f"{seed}:{key}".encode()).digest()))
        num_own = sum(num_labels[key] == 1 for key in keys)
        num_wanted = max(1, round(len(keys) * held_out_share), min(_FEW_HELD_OUT, len(keys) // 5))
        num_held_out = min(num_wanted, len(keys) - 1, num_own or len(keys))
        for place, key in enumerate(keys):
            (held_out if place < num_held_out else kept).extend(groups[key])
    return kept, held_out


def _read_bytes(path: Path) -> bytes:
    if path.suffix.lower() not in (".csv", ".jsonl", ".ndjson"):
        msg = f"{path} is neither .csv nor .jsonl; save the records in one of these forms"
        raise DataFileError(msg)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        msg = f"there is no file {path}; check the path"
        raise DataFileError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DataFileError(msg) from error
    if not raw.strip():
        msg = f"{path} is empty; it needs a header and at least one row"
        raise DataFileError(msg)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"{path} is UTF-16; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        raise DataFileError(msg)
    return raw


def _csv_records(path: Path, text: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    # a cell larger than the csv module's default limit is reported as a row, not raised as an error
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    if missing := [name for name in columns if name not in header]:
        msg = f"{path} has the columns {header}, but {missing[0]!r} is needed; rename the column or name it in the call"
        raise DataFileError(msg)
    line = reader.line_num + 1
    for cells in reader:
        if cells:
            problem = None
            if len(cells) != len(header):
                span = f" in lines {line} to {reader.line_num}" if reader.line_num > line else ""
                problem = f"{len(cells)} cells where the header has {len(header)}{span}; is a quote or a comma missing?"
            yield line, dict(zip(header, cells, strict=False)), problem
        line = reader.line_num + 1


def _json_records(text: str) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            values = json.loads(row)
        except (ValueError, RecursionError) as error:
            yield line, {}, f"not valid JSON: {error}"
            continue
        if isinstance(values, dict):
            yield line, values, None
        else:
            yield line, {}, f"expected a JSON object, got {type(values).__name__}"


def check_values(values: dict[str, Any], columns: Sequence[str]) -> str | None:
    """Return what is wrong with the named values of a record, or None if nothing is."""
    for name in columns:
        if name not in values:
            return f"no {name!r}"
        value = values[name]
        if not isinstance(value, str):
            continue
        try:
            check_text(value, max_chars=MAX_CELL_CHARS)
        except InputTextError as error:
            is_escaped_byte = any("\udc80" <= character <= "\udcff" for character in value[:MAX_CELL_CHARS])
            return f"{name}: bytes that are not UTF-8" if is_escaped_byte else f"{name}: {error}"
    return None


def refuse_bad_file(path: Path, rows: Sequence[object], rejected: Sequence[RejectedRow]) -> None:
    """Refuse a file without usable rows, or with more than half of them set aside.

    Raises:
        DataFileError: with the number of bad rows, and the first one's line and reason.
    """
    total = len(rows) + len(rejected)
    if not total:
        msg = f"{path} has a header but no rows; add at least one"
        raise DataFileError(msg)
    if len(rejected) > MAX_REJECTED_SHARE * total:
        first = rejected[0]
        msg = (
            f"{len(rejected)} of {total} rows of {path} cannot be used, the first in line {first.line}: "
            f"{first.reason}; is the file UTF-8 and complete?"
        )
        raise DataFileError(msg)
