"""Conversations of a log file as its form gives them: rows and messages gathered, records read."""

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

from apps.service_learning.chat_text import ChatForm, read_chat
from apps.service_learning.exports import expand_records, read_record, record_form, wecom_message
from apps.service_learning.files import numbered_lines, open_text, stream_records
from apps.service_learning.gathering import MessageGathering
from apps.service_learning.layout import Layout, SetAside
from apps.service_learning.raw import RawConversation
from apps.service_learning.roles import who_is
from apps.service_learning.tables import (
    LogRow,
    csv_rows,
    fill_details,
    json_rows,
    row_conversation,
    row_details,
    row_message,
)
from llms.errors import TrainingDataError

JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
SILENCE = timedelta(hours=6)
"""After which a chat without marked conversations begins a new one."""

NUM_SAMPLED = 500
_NUM_LINES = 2_000
_NUM_RECORDS = 100
_SHOP_SIGN = re.compile("[:：]")  # between a shop and who of it writes


def raw_conversations(layout: Layout) -> Iterator[RawConversation | SetAside]:
    """Yield the conversations of a file as its layout has them, and the lines that are none."""
    if layout.form in ("message rows", "wecom", "chat text"):
        yield from _gathered(layout)
    elif layout.form in ("pair rows", "request rows"):
        yield from (row_conversation(row, layout) for row in rows_of(layout))
    else:
        yield from _recorded(layout)


def sampled_conversations(layout: Layout) -> Iterator[RawConversation | SetAside]:
    """Yield what the beginning of a file holds; as one conversation where they lie apart."""
    if layout.form not in ("message rows", "wecom", "chat text"):
        yield from islice(raw_conversations(layout), _NUM_RECORDS)
        return
    if layout.form == "message rows":
        found = (row_message(row, layout) for row in islice(rows_of(layout), NUM_SAMPLED))
        messages = [message for item in found if not isinstance(item, SetAside) for message in [item[1]]]
    elif layout.form == "wecom":
        records = islice(stream_records(layout.path, layout.encoding), NUM_SAMPLED)
        messages = [
            wecom_message(record.value, record.line)[1] for record in records if record_form(record.value) == "wecom"
        ]
    else:
        form = _chat_form(layout)
        lines = first_lines(layout.path, layout.encoding)
        messages = [message for _, message in read_chat(enumerate(lines, start=1), form, layout.roles)]
    if messages:
        yield RawConversation("sample", str(layout.path), 1, messages)


def rows_of(layout: Layout) -> Iterator[LogRow]:
    """Yield the rows of a file whose form is a table, in CSV or JSON."""
    is_json = layout.path.suffix.lower() in JSON_ENDINGS
    return (json_rows if is_json else csv_rows)(layout.path, layout.encoding)


def first_lines(path: Path, encoding: str) -> list[str]:
    """Return the lines that tell how a copied chat is written."""
    with open_text(path, encoding) as file:
        return [line for _, line in islice(numbered_lines(file), _NUM_LINES)]


def _gathered(layout: Layout) -> Iterator[RawConversation | SetAside]:
    source = str(layout.path)
    is_chat = layout.form != "message rows"
    with MessageGathering(source, gap=SILENCE if is_chat else None) as gathering:
        if layout.form == "chat text":
            with open_text(layout.path, layout.encoding) as file:
                for conversation, message in read_chat(numbered_lines(file), _chat_form(layout), layout.roles):
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
            raw.names = frozenset(name for message in raw.messages for name in _SHOP_SIGN.split(message.speaker))
            if is_chat:  # whose conversations are named by people
                raw.customer = next(
                    (m.speaker for m in raw.messages if who_is(m.speaker, layout.roles)[1] == "customer"), None
                )
                raw.id = f"line {raw.line}"
            yield raw


def _add_rows(layout: Layout, gathering: MessageGathering) -> Iterator[SetAside]:
    for row in rows_of(layout):
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


def _chat_form(layout: Layout) -> ChatForm:
    return ChatForm(first_lines(layout.path, layout.encoding))
