"""What a log file is taken for: its form, columns, roles and encoding, with examples and warnings for a person."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from apps.errors import WorkspaceError
from apps.service_learning.chat_text import ChatForm, read_chat
from apps.service_learning.columns import guess_columns, guess_roles
from apps.service_learning.exports import expand_records, record_form
from apps.service_learning.files import guess_encoding, stream_records
from apps.service_learning.layout import Layout, LogForm, Role, Roles, SetAside
from apps.service_learning.mail import clean_message
from apps.service_learning.roles import look_swapped, who_is
from apps.service_learning.sources import JSON_ENDINGS, NUM_SAMPLED, first_lines, sampled_conversations
from apps.service_learning.tables import csv_rows, json_rows, open_table
from apps.service_learning.times import order_of_days

_MEANINGS = (
    "conversation",
    "time",
    "role",
    "text",
    "question",
    "answer",
    "subject",
    "customer",
    "resolved",
    "rating",
    "tags",
)
_NUM_EXAMPLES = 6
_EXAMPLE_CHARS = 120
_MOST_CLEANED = 10_000


def guess_layout(path: Path, *, columns: Mapping[str, str] | None = None, roles: Roles | None = None) -> Layout:
    """Return what a file is taken for, to be shown to a person before anything of it is used.

    Only the beginning is read. What is given outweighs what is guessed.

    Args:
        path: a log: `.csv`, `.tsv`, `.json`, `.jsonl`, `.ndjson`, or a copied chat of any other name.
        columns: meaning -> name of the column (`conversation`, `time`, `role`, `text`, `question`, `answer`, `subject`,
            `customer`, `resolved`, `rating`, `tags`), and `time_format` as of `strptime`.
        roles: what the file calls somebody -> `customer`, `agent`, `bot`, or None for what is no message.

    Raises:
        WorkspaceError: if the file cannot be read, is in no known form, or lacks a column that is named.
    """
    encoding = guess_encoding(path)
    if path.suffix.lower() in JSON_ENDINGS:
        layout = _json_layout(path, encoding, dict(columns or {}), roles or {})
    elif path.suffix.lower() in (".csv", ".tsv"):
        layout = _table_layout(path, encoding, "csv", dict(columns or {}), roles or {})
    else:
        layout = _chat_layout(path, encoding, roles or {})
    if encoding not in ("utf-8", "utf-8-sig"):
        warning = f"the file is read as {encoding.upper()}; look whether the examples are right"
        layout = dataclasses.replace(layout, warnings=(warning, *layout.warnings))
    return _with_examples(layout)


def _json_layout(path: Path, encoding: str, columns: dict[str, str], roles: Roles) -> Layout:
    values = [record.value for record in islice(stream_records(path, encoding), 20) if not record.problem]
    forms = [record_form(part) for value in values for part in islice(expand_records(value), 20)]
    form = next((form for form in forms if form is not None), None)
    if form is None:
        return _table_layout(path, encoding, "json", columns, roles)
    return Layout(path=path, form=form, encoding=encoding, roles=roles)


def _table_layout(path: Path, encoding: str, kind: str, columns: dict[str, str], roles: Roles) -> Layout:
    rows = list(islice(csv_rows(path, encoding) if kind == "csv" else json_rows(path, encoding), NUM_SAMPLED))
    usable = [row.values for row in rows if not row.problem]
    header = (
        open_table(path, encoding).header
        if kind == "csv"
        else list(dict.fromkeys(name for row in usable for name in row))
    )
    time_format = columns.pop("time_format", "")
    _check_columns(path, header, columns)
    rest = [name for name in header if name not in columns.values()]
    guessed = guess_columns(rest, usable)
    if "text" in columns or "role" in columns:
        guessed = {meaning: name for meaning, name in guessed.items() if meaning not in ("question", "answer")}
    found = guessed | columns
    form = _form_of(path, found, header)
    said, warnings = _roles_of_rows(found, usable) if form == "message rows" else ({}, [])
    if not time_format and "time" in found:
        time_format, is_sure = order_of_days(row.get(found["time"], "") for row in usable)
        if not is_sure:
            warning = f"day and month of {found['time']!r} could be exchanged"
            warnings.append(f"{warning}; taken as {time_format}, name time_format if not so")
    return Layout(
        path=path,
        form=form,
        encoding=encoding,
        columns=found,
        roles=said | dict(roles),
        time_format=time_format,
        warnings=tuple(warnings),
    )


def _roles_of_rows(found: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, Role], list[str]]:
    meanings = ("conversation", "role", "text")
    speakers = [tuple(row.get(found[meaning], "").strip() for meaning in meanings) for row in rows]
    return guess_roles(found["role"], [(conversation, who, text) for conversation, who, text in speakers])


def _form_of(path: Path, found: Mapping[str, str], header: Sequence[str]) -> LogForm:
    if {"question", "answer"} <= found.keys():
        return "pair rows"
    if {"conversation", "role", "text"} <= found.keys():
        return "message rows"
    if "text" in found and "role" not in found:
        return "request rows"
    missing = " and ".join(meaning for meaning in ("conversation", "role", "text") if meaning not in found)
    msg = (
        f"{path} has the columns {', '.join(header[:20])}; nothing says which is the {missing}. Name the columns of "
        "conversation, role and text, or those of question and answer"
    )
    raise WorkspaceError(msg)


def _check_columns(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> None:
    if unknown := sorted(set(columns) - set(_MEANINGS)):
        msg = f"a column can mean {', '.join(_MEANINGS)}, not {unknown[0]!r}"
        raise WorkspaceError(msg)
    if missing := [name for name in columns.values() if name not in header]:
        msg = f"{path} has no column {missing[0]!r}; it has: {', '.join(header[:20])}"
        raise WorkspaceError(msg)


def _chat_layout(path: Path, encoding: str, roles: Roles) -> Layout:
    lines = first_lines(path, encoding)
    chat = ChatForm(lines)
    if not chat.is_chat:
        form = "a copied chat with a name and a time before each message"
        msg = f"{path} is no log that can be read; give CSV, JSON, JSONL, or {form}"
        raise WorkspaceError(msg)
    messages = list(read_chat(enumerate(lines, start=1), chat, roles))
    said, warnings = guess_roles(
        "name", [(conversation, message.speaker, message.text) for conversation, message in messages]
    )
    return Layout(path=path, form="chat text", encoding=encoding, roles=said | dict(roles), warnings=tuple(warnings))


def _with_examples(layout: Layout) -> Layout:
    """Return a layout with the first messages as they would be read, and a warning where the roles look exchanged."""
    examples: list[tuple[str, str]] = []
    texts: dict[Any, list[str]] = {"customer": [], "agent": []}
    for raw in sampled_conversations(layout):
        for message in [] if isinstance(raw, SetAside) else raw.messages:
            is_known, role = who_is(message.speaker, layout.roles)
            text = clean_message(message.text[:_MOST_CLEANED])
            if is_known and role is None:
                continue
            if len(examples) < _NUM_EXAMPLES:
                examples.append((role or f"? {message.speaker}", " ".join(text.split())[:_EXAMPLE_CHARS]))
            if role is not None:
                texts["customer" if role == "customer" else "agent"].append(text)
    warnings = list(layout.warnings)
    if look_swapped(texts["customer"], texts["agent"]):
        warnings.append(
            "the roles look exchanged: customers speak as staff does; name the roles the other way round if so"
        )
    return dataclasses.replace(layout, examples=tuple(examples), warnings=tuple(warnings))
