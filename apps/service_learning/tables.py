"""Rows of CSV files and of JSONL records: messages with their conversation, pairs of question and answer, requests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from apps.errors import WorkspaceError
from apps.service_learning.files import open_text, read_sample, stream_records
from apps.service_learning.layout import Layout, SetAside
from apps.service_learning.raw import RawConversation, RawMessage, read_rating, read_resolved, read_tags, read_text
from apps.service_learning.times import parse_time
from llms.errors import DataFileError
from llms.texts import CsvTable

_DETAILS = ("customer", "resolved", "rating", "tags")


@dataclass(frozen=True, slots=True)
class LogRow:
    """A row of a table or a record of texts; a problem says why it cannot be used."""

    line: int
    values: Mapping[str, str]
    problem: str = ""


def open_table(path: Path, encoding: str) -> CsvTable:
    """Return the table that a CSV file's beginning makes.

    Raises:
        WorkspaceError: if its header cannot be used.
    """
    try:
        return CsvTable(read_sample(path).decode(encoding, "replace").lstrip("\ufeff"))
    except DataFileError as error:
        msg = f"{path} {error}"
        raise WorkspaceError(msg) from error


def csv_rows(path: Path, encoding: str) -> Iterator[LogRow]:
    """Yield the rows of a CSV file of any length."""
    table = open_table(path, encoding)
    with open_text(path, encoding) as file:
        for row in table.rows(_without_mark(file)):
            yield LogRow(row.line, row.values, row.problem)


def json_rows(path: Path, encoding: str) -> Iterator[LogRow]:
    """Yield the records of a JSON file as rows of texts."""
    for record in stream_records(path, encoding):
        if record.problem or not isinstance(record.value, Mapping):
            yield LogRow(record.line, {}, record.problem or "no object with names and values")
        else:
            values = {str(name): _cell(value) for name, value in record.value.items()}
            yield LogRow(record.line, values)


def row_message(row: LogRow, layout: Layout) -> tuple[str, RawMessage] | SetAside:
    """Return the conversation of a row that is a message, and the message; or why there is none."""
    columns, source = layout.columns, str(layout.path)
    missing = [
        meaning for meaning in ("conversation", "role") if not row.values.get(columns.get(meaning, ""), "").strip()
    ]
    if row.problem or missing:
        return SetAside(source, row.line, row.problem or f"nothing in the column {columns[missing[0]]!r}")
    text = _text(row, layout)
    time = parse_time(row.values.get(columns.get("time", ""), ""), layout.time_format)
    return row.values[columns["conversation"]].strip(), RawMessage(
        row.values[columns["role"]].strip(), text, time, row.line
    )


def row_details(row: LogRow, layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield what a row says of its whole conversation: the customer, the end, the judgement, the words on it."""
    for meaning in _DETAILS:
        if value := row.values.get(layout.columns.get(meaning, ""), "").strip():
            yield meaning, value


def row_conversation(row: LogRow, layout: Layout) -> RawConversation | SetAside:
    """Return the conversation of a row that is a question with its answer, or a request alone."""
    source, columns = str(layout.path), layout.columns
    if row.problem:
        return SetAside(source, row.line, row.problem)
    time = parse_time(row.values.get(columns.get("time", ""), ""), layout.time_format)
    asked = row.values.get(columns["question"], "") if "question" in columns else _text(row, layout)
    messages = [RawMessage("customer", asked, time, row.line)]
    if answer := row.values.get(columns.get("answer", ""), ""):
        messages.append(RawMessage("agent", answer, time, row.line))
    name = row.values.get(columns.get("conversation", ""), "").strip()
    conversation = RawConversation(name or f"line {row.line}", source, row.line, messages)
    fill_details(conversation, dict(row_details(row, layout)))
    return conversation


def fill_details(conversation: RawConversation, details: Mapping[str, str]) -> None:
    """Put what rows say of a conversation into it."""
    conversation.customer = details.get("customer")
    conversation.is_resolved = read_resolved(details.get("resolved"))
    conversation.rating = read_rating(details.get("rating"))
    conversation.tags = read_tags(details.get("tags"))


def _text(row: LogRow, layout: Layout) -> str:
    parts = [row.values.get(layout.columns.get(meaning, ""), "") for meaning in ("subject", "text")]
    return "\n".join(part for part in parts[layout.form != "request rows" :] if part.strip())


def _cell(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, Mapping):
        return str(value.get("type") or value.get("role") or value.get("name") or read_text(value))
    return str(value).lower() if isinstance(value, bool) else read_text(value)


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield line.lstrip("\ufeff") if number == 0 else line
