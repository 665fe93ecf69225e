"""Reading of support logs: what a file is taken for, and its conversations as a stream."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from apps.errors import WorkspaceError
from apps.service_learning.assembling import assemble
from apps.service_learning.chat_text import ChatForm, read_chat
from apps.service_learning.columns import guess_columns, guess_roles
from apps.service_learning.exports import expand_records, read_record, record_form, wecom_message
from apps.service_learning.files import guess_encoding, numbered_lines, open_text, stream_records
from apps.service_learning.gathering import MessageGathering
from apps.service_learning.layout import Layout, LogForm, SetAside
from apps.service_learning.mail import clean_message
from apps.service_learning.raw import RawConversation
from apps.service_learning.roles import look_swapped, who_is
from apps.service_learning.tables import (
    LogRow,
    csv_rows,
    fill_details,
    json_rows,
    open_table,
    row_conversation,
    row_details,
    row_message,
)
from apps.service_learning.times import order_of_days
from chains.customer_service.learning import LoggedConversation, LoggedRole
from llms.errors import TrainingDataError

Roles = Mapping[str, LoggedRole | None]

SILENCE = timedelta(hours=6)
"""After which a chat without marked conversations begins a new one."""

_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_SHOP_SIGN = re.compile("[:：]")  # between a shop and who of it writes
_NUM_SAMPLED = 500
_NUM_EXAMPLES = 6
_EXAMPLE_CHARS = 120
_MOST_CLEANED = 10_000
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
    if path.suffix.lower() in _JSON_ENDINGS:
        layout = _json_layout(path, encoding, dict(columns or {}), roles or {})
    elif path.suffix.lower() in (".csv", ".tsv"):
        layout = _table_layout(path, encoding, "csv", dict(columns or {}), roles or {})
    else:
        layout = _chat_layout(path, encoding, roles or {})
    if encoding not in ("utf-8", "utf-8-sig"):
        warning = f"the file is read as {encoding.upper()}; look whether the examples are right"
        layout = dataclasses.replace(layout, warnings=(warning, *layout.warnings))
    return _with_examples(layout)


def read_conversations(
    paths: Iterable[Path],
    *,
    columns: Mapping[str, str] | None = None,
    roles: Roles | None = None,
    pseudonym_key: bytes = b"",
) -> Iterator[LoggedConversation | SetAside]:
    """Yield the conversations of logs, and what of them cannot be used.

    The files are read as streams; messages that lie apart are put together on the disk, so that memory does not grow
    with a log. Reading again gives the same.

    Args:
        paths: as for `guess_layout`.
        columns: as for `guess_layout`.
        roles: as for `guess_layout`.
        pseudonym_key: a secret that makes the customers' pseudonyms; without one they could be found by trying.

    Raises:
        WorkspaceError: as from `guess_layout`, when the file's turn comes.
    """
    for path in paths:
        layout = guess_layout(path, columns=columns, roles=roles)
        yield from read_with(layout, pseudonym_key=pseudonym_key)


def read_with(layout: Layout, *, pseudonym_key: bytes = b"") -> Iterator[LoggedConversation | SetAside]:
    """Yield the conversations of the file of a layout that a person has seen, and what of it cannot be used."""
    for raw in _raw_conversations(layout):
        if isinstance(raw, SetAside):
            yield raw
            continue
        conversation, aside = assemble(raw, layout.roles, pseudonym_key=pseudonym_key)
        yield from aside
        if conversation is not None:
            yield conversation


def _raw_conversations(layout: Layout) -> Iterator[RawConversation | SetAside]:
    if layout.form in ("message rows", "wecom", "chat text"):
        yield from _gathered(layout)
    elif layout.form in ("pair rows", "request rows"):
        yield from (row_conversation(row, layout) for row in _rows(layout))
    else:
        yield from _recorded(layout)


def _gathered(layout: Layout) -> Iterator[RawConversation | SetAside]:
    source = str(layout.path)
    is_chat = layout.form != "message rows"
    with MessageGathering(source, gap=SILENCE if is_chat else None) as gathering:
        if layout.form == "chat text":
            with open_text(layout.path, layout.encoding) as file:
                lines = list(islice((line for _, line in numbered_lines(file)), 2_000))
                file.seek(0)
                for conversation, message in read_chat(numbered_lines(file), ChatForm(lines), layout.roles):
                    gathering.add(conversation, message)
        elif layout.form == "wecom":
            for record in stream_records(layout.path, layout.encoding):
                if record.problem or record_form(record.value) != "wecom":
                    yield SetAside(source, record.line, record.problem or "no message of WeCom's archive")
                else:
                    gathering.add(*wecom_message(record.value, record.line))
        else:
            yield from _add_rows(layout, gathering)
        for raw, details in gathering.conversations():
            fill_details(raw, details)
            if is_chat:  # the names in chats are those of people
                raw.names = frozenset(name for message in raw.messages for name in _SHOP_SIGN.split(message.speaker))
                raw.customer = next(
                    (m.speaker for m in raw.messages if who_is(m.speaker, layout.roles)[1] == "customer"), None
                )
                raw.id = f"line {raw.line}"
            yield raw


def _add_rows(layout: Layout, gathering: MessageGathering) -> Iterator[SetAside]:
    for row in _rows(layout):
        found = row_message(row, layout)
        if isinstance(found, SetAside):
            yield found
            continue
        conversation, message = found
        gathering.add(conversation, message)
        for name, value in row_details(row, layout):
            gathering.set_detail(conversation, name, value)


def _recorded(layout: Layout) -> Iterator[RawConversation | SetAside]:
    source = str(layout.path)
    for record in stream_records(layout.path, layout.encoding):
        if record.problem:
            yield SetAside(source, record.line, record.problem)
            continue
        for value in expand_records(record.value):
            form = record_form(value)
            if form is None or form == "wecom":
                yield SetAside(source, record.line, f"a record that is no conversation in the form {layout.form!r}")
                continue
            try:
                yield read_record(value, form, source=source, line=record.line)
            except TrainingDataError as error:
                yield SetAside(source, record.line, str(error))


def _rows(layout: Layout) -> Iterator[LogRow]:
    is_json = layout.path.suffix.lower() in _JSON_ENDINGS
    return (json_rows if is_json else csv_rows)(layout.path, layout.encoding)


def _json_layout(path: Path, encoding: str, columns: dict[str, str], roles: Roles) -> Layout:
    values = [record.value for record in islice(stream_records(path, encoding), 20) if not record.problem]
    forms = [record_form(part) for value in values for part in islice(expand_records(value), 20)]
    form = next((form for form in forms if form is not None), None)
    if form is None:
        return _table_layout(path, encoding, "json", columns, roles)
    return Layout(path=path, form=form, encoding=encoding, roles=roles)


def _table_layout(path: Path, encoding: str, kind: str, columns: dict[str, str], roles: Roles) -> Layout:
    rows = list(islice(csv_rows(path, encoding) if kind == "csv" else json_rows(path, encoding), _NUM_SAMPLED))
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
    warnings: list[str] = []
    said: dict[str, LoggedRole | None] = {}
    if form == "message rows":
        said, warnings = guess_roles(
            found["role"],
            [
                (row.get(found["conversation"], ""), row.get(found["role"], "").strip(), row.get(found["text"], ""))
                for row in usable
            ],
        )
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
    with open_text(path, encoding) as file:
        lines = list(islice((line for _, line in numbered_lines(file)), 2_000))
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
    for raw in (
        islice(_raw_conversations(layout), 100)
        if layout.form not in ("message rows", "wecom", "chat text")
        else _sampled(layout)
    ):
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


def _sampled(layout: Layout) -> Iterator[RawConversation | SetAside]:
    """Yield what the beginning of a file holds; as one conversation where they lie apart."""
    if layout.form not in ("message rows", "wecom", "chat text"):
        yield from islice(_raw_conversations(layout), 100)
        return
    if layout.form == "message rows":
        found = (row_message(row, layout) for row in islice(_rows(layout), _NUM_SAMPLED))
        messages = [message for item in found if not isinstance(item, SetAside) for message in [item[1]]]
    elif layout.form == "wecom":
        records = islice(stream_records(layout.path, layout.encoding), _NUM_SAMPLED)
        messages = [
            wecom_message(record.value, record.line)[1] for record in records if record_form(record.value) == "wecom"
        ]
    else:
        with open_text(layout.path, layout.encoding) as file:
            lines = list(islice(numbered_lines(file), 2_000))
        messages = [message for _, message in read_chat(lines, ChatForm(line for _, line in lines), layout.roles)]
    if messages:
        yield RawConversation("sample", str(layout.path), 1, messages)
