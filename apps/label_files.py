"""Files of labels: reading what is labelled, and durable appending of each new answer."""

import csv
import errno
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llms.errors import DataFileError
from llms.finetuning.data import LabelledText, RejectedRow, cell_text, read_table
from llms.finetuning.labelling import Suggestion
from llms.finetuning.trainer import write_text
from llms.texts import CsvTable, decode_rows, guarded_row

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumns:
    """The names of the two columns that matter."""

    text: str = "text"
    label: str = "label"

    def __post_init__(self) -> None:
        """Refuse one column for both."""
        if self.text == self.label:
            msg = f"text and label need a column each, both are {self.text!r}; name another one"
            raise DataFileError(msg)


def read_labelled(path: Path, columns: LabelColumns) -> tuple[list[LabelledText], list[RejectedRow]]:
    """Return the rows of a file that have a label, and those that cannot be used.

    Rows without a label are passed over: they are still to be labelled. So a file of suggestions, half filled in, is
    a file of labels, and so is one with nothing but a header.

    Raises:
        DataFileError: as `read_table`.
    """
    if path.suffix.lower() == ".csv" and path.is_file() and _is_header_only(path):
        LabelFile.open(path, columns)  # the columns must be there all the same
        return [], []
    table = read_table(path, [columns.text, columns.label])
    rows = []
    for row in table.rows:
        text, label = (cell_text(row.values[name]) for name in (columns.text, columns.label))
        if text and label:
            rows.append(LabelledText(text, label, line=row.line))
    return rows, table.rejected


def read_unlabelled(path: Path, columns: LabelColumns) -> tuple[list[str], list[RejectedRow]]:
    """Return the texts of a file, whether or not they have a label there, and the rows that cannot be used."""
    table = read_table(path, [columns.text])
    texts, rejected = [], list(table.rejected)
    for row in table.rows:
        value = row.values[columns.text]
        if isinstance(value, str) and value.strip():
            texts.append(value.strip())
        else:
            rejected.append(RejectedRow(row.line, f"empty {columns.text}, or no text"))
    return texts, sorted(rejected, key=lambda row: row.line)


def refuse_labels(path: Path, columns: LabelColumns) -> None:
    """Refuse a place for suggestions that is no CSV file by its name, or a file with labels: somebody's work.

    Raises:
        DataFileError: if it is so.
    """
    _refuse_other_kinds(path)
    if path.is_file() and path.stat().st_size:
        labelled, _ = read_labelled(path, columns)
        if labelled:
            msg = f"{path} holds {len(labelled)} labels, which would be lost; choose another file for the suggestions"
            raise DataFileError(msg)


def write_suggestions(suggestions: Sequence[Suggestion], path: Path, columns: LabelColumns) -> None:
    """Write a CSV file with an empty cell for each label.

    Raises:
        DataFileError: as `refuse_labels`, or if the file cannot be written.
    """
    refuse_labels(path, columns)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([columns.text, columns.label, "suggested_label", "probability", "reason"])
    for row in suggestions:
        cells = [row.text, "", row.predicted or "", _or_empty(row.probability), row.reason]
        writer.writerow(guarded_row(map(str, cells)))
    try:
        write_text(path, lines.getvalue())
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; choose another file, or make its folder"
        raise DataFileError(msg) from error


@dataclass(slots=True, kw_only=True)
class LabelFile:
    """A CSV file that grows by one row for each answer; a row is on the disk before `append` returns.

    Attributes:
        header: what each cell belongs to; those of others than text and label stay empty.
        delimiter: what divides the cells.
    """

    path: Path
    columns: LabelColumns
    header: list[str]
    delimiter: str = ","
    line_end: str = "\n"

    @classmethod
    def open(cls, path: Path, columns: LabelColumns) -> "LabelFile":
        """Return the file, made with a header if it is not there.

        Raises:
            DataFileError: if it is no CSV by its name, is UTF-16, lacks a column, has a quote that is not closed,
                or cannot be written.
        """
        _refuse_other_kinds(path)
        try:
            if not path.exists() or not path.stat().st_size:
                _append(path, _to_line([columns.text, columns.label], ",", "\n"))
            raw = path.read_bytes()
        except OSError as error:
            raise DataFileError(_cannot_write(path, error)) from error
        table = _checked_table(path, raw, columns)
        file = cls(
            path=path,
            columns=columns,
            header=table.cell_names,
            delimiter=table.delimiter,
            line_end="\r\n" if raw.partition(b"\n")[0].endswith(b"\r") else "\n",
        )
        if not raw.endswith(b"\n"):
            file._write(file.line_end)
        return file

    def append(self, text: str, label: str) -> int:
        """Add a row and return where it begins, for `remove_from`; the row survives a kill from now on.

        Raises:
            DataFileError: if it cannot be written.
        """
        return self._write(self._line(text, label))

    def remove_from(self, offset: int, *, text: str, label: str) -> None:
        """Take back the row that `append` put at this offset.

        Raises:
            DataFileError: if other rows came after it, or it is no longer there.
        """
        line = self._line(text, label)
        try:
            with self.path.open("r+b") as file:
                file.seek(offset)
                if file.read() != line.encode():
                    msg = f"{self.path} was changed by another program since that answer; correct it there"
                    raise DataFileError(msg)
                file.truncate(offset)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataFileError(_cannot_write(self.path, error)) from error

    def _line(self, text: str, label: str) -> str:
        cells = {self.columns.text: text, self.columns.label: label}
        return _to_line([cells.get(name, "") for name in self.header], self.delimiter, self.line_end)

    def _write(self, line: str) -> int:
        try:
            return _append(self.path, line)
        except OSError as error:
            raise DataFileError(_cannot_write(self.path, error)) from error


def _append(path: Path, line: str) -> int:
    """Return where the line begins once it is on the disk."""
    with path.open("ab", buffering=0) as file:  # one write for the whole row, so that no half of it is seen
        offset = file.seek(0, os.SEEK_END)
        data = line.encode()
        if file.write(data) < len(data):  # the disk is full: half a row would spoil the next one
            file.truncate(offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    return offset


def _to_line(cells: Sequence[str], delimiter: str, line_end: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator=line_end).writerow(guarded_row(cells))
    return line.getvalue()


def _checked_table(path: Path, raw: bytes, columns: LabelColumns) -> CsvTable:
    if raw.startswith(_WIDE_MARKS):
        msg = f"{path} is UTF-16, but rows are added in UTF-8; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        raise DataFileError(msg)
    try:
        table = CsvTable(decode_rows(raw)[0])
    except DataFileError as error:
        msg = f"{path} {error}"
        raise DataFileError(msg) from error
    for row in table.rows():
        if row.problem and not row.values:  # an open quote would swallow what is added
            msg = f"{path} is damaged in line {row.line} ({row.problem}), so no row can be added; correct or remove it"
            raise DataFileError(msg)
    for name in (columns.text, columns.label):
        if name not in table.header:
            msg = (
                f"{path} has the columns {table.header}, but {name!r} is needed; "
                "rename the column or name it in the call"
            )
            raise DataFileError(msg)
    return table


def _is_header_only(path: Path) -> bool:
    try:
        raw = path.read_bytes()
        return bool(raw) and next(CsvTable(decode_rows(raw)[0]).rows(), None) is None
    except (OSError, DataFileError):
        return False  # what is wrong is said where the rows are read


def _refuse_other_kinds(path: Path) -> None:
    if path.suffix.lower() != ".csv":
        msg = f"{path} is no .csv file, and labels are written as CSV only; choose another name"
        raise DataFileError(msg)


def _cannot_write(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror}; the answers before this one are safe"


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
