"""Readers of a workspace's files: checked objects; unusable rows are set aside with their line number."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from apps.errors import WorkspaceError
from apps.yaml_files import read_yaml
from chains.customer_service import KnownQuestion, TemplateBook
from chains.monitoring import Entity, KnownSurge, Post
from llms.errors import DataFileError, InputTextError, TuneChainError
from llms.field_errors import describe_errors
from llms.finetuning.data import RejectedRow, Row, check_values, is_missing_word, read_table, refuse_bad_file
from llms.texts import check_text, has_raw_bytes, parse_record
from retrievers import Event, Item, ItemCatalogue

T = TypeVar("T", bound=BaseModel)
_log = logging.getLogger(__name__)

_POST_COLUMNS = ("id", "time", "source", "text")
_POST_EXAMPLE = '{"id": "p1", "time": "2026-03-02T09:30:00+01:00", "source": "forum", "text": "..."}'


def read_templates(path: Path) -> TemplateBook:
    """Return the approved answers of a `templates.yaml`.

    Raises:
        WorkspaceError: if the file is missing or has another form.
    """
    if not path.exists():
        msg = f"there is no {path}; it maps each intent to its approved answer"
        raise WorkspaceError(msg)
    form = "'answers' (intent: text) and may have 'slots' (name: pattern, ask)"
    book: TemplateBook = read_yaml(path, TemplateBook, form=form)
    return book


def read_known_questions(path: Path) -> list[KnownQuestion]:
    """Return the curated answers of a `known_questions.yaml`; none if there is no such file, or nothing in it.

    Raises:
        WorkspaceError: if the file has another form.
    """
    if not path.exists():
        return []
    form = "a list of 'id', 'question' and 'answer', 'wordings' if there are any"
    questions: list[KnownQuestion] = read_yaml(path, list[KnownQuestion], form=form, empty=[])
    return questions


def read_catalogue(path: Path) -> tuple[ItemCatalogue, list[RejectedRow]]:
    """Return the items of an `items.csv` and the rows set aside; of an id given twice the first row counts.

    The columns `stock` and `available_from` may be missing.
    """
    table = read_table(path, ["id", "title", "description", "tags", "price", "created"])
    _warn_of_missing_words(path, table.rows, ["id"])
    _warn_of_other_columns(path, table.rows, Item)
    items, rejected = _parse(table.rows, _item)
    unique: dict[str, Item] = {}
    for line, item in items:
        if item.id in unique:
            rejected.append(RejectedRow(line, f"id {item.id!r} was given before; ids must be unique"))
        else:
            unique[item.id] = item
    refuse_bad_file(path, list(unique), _in_order(table.rejected, rejected))
    return ItemCatalogue(unique.values()), _in_order(table.rejected, rejected)


def read_events(path: Path, catalogue: ItemCatalogue) -> tuple[list[Event], list[RejectedRow]]:
    """Return the events of an `events.csv`, oldest first, and the rows set aside.

    An event of an unknown kind, of an item that the catalogue lacks, or with a time without zone is set aside.
    """
    table = read_table(path, ["user", "item", "event", "time"])
    _warn_of_missing_words(path, table.rows, ["user", "item"])
    _warn_of_other_columns(path, table.rows, Event)
    events, rejected = _parse(table.rows, _event)
    known = [event for line, event in events if event.item in catalogue]
    for line, event in events:
        if event.item not in catalogue:
            rejected.append(RejectedRow(line, f"item {event.item!r} is not in the catalogue"))
    refuse_bad_file(path, known, _in_order(table.rejected, rejected))
    return sorted(known, key=lambda event: event.time), _in_order(table.rejected, rejected)


def read_posts(path: Path) -> tuple[list[Post], list[RejectedRow]]:
    """Return the posts of a `stream.jsonl` and the rows set aside."""
    table = read_table(path, _POST_COLUMNS, example=_POST_EXAMPLE)
    _warn_of_missing_words(path, table.rows, ["id"])
    posts, rejected = _parse(table.rows, lambda values: Post.model_validate(_only(values, Post)))
    refuse_bad_file(path, posts, _in_order(table.rejected, rejected), example=_POST_EXAMPLE)
    return [post for _, post in posts], _in_order(table.rejected, rejected)


def read_post_lines(stream: Iterable[str]) -> Iterator[Post | RejectedRow]:
    """Yield a post, or why there is none, for each line of a live stream of JSON objects."""
    # some shells put a byte-order mark before what they pipe
    for number, text in enumerate(stream, start=1):
        line = text.removeprefix("\ufeff")
        if not line.strip():
            continue
        record = parse_record(line, number)
        problem = record.problem
        if not problem and not isinstance(record.value, dict):
            problem = f"expected a JSON object, got {type(record.value).__name__}"
        yield RejectedRow(number, problem) if problem else to_post(record.value, line=number)


def to_post(values: dict[str, Any], *, line: int) -> Post | RejectedRow:
    """Return the post that a record describes, or why there is none."""
    if reason := check_values(values, _POST_COLUMNS):
        return RejectedRow(line, reason)
    try:
        return Post.model_validate(_only(values, Post))
    except ValidationError as error:
        return RejectedRow(line, describe_errors(error, show_values=True))


def read_text_lines(stream: Iterable[str]) -> Iterator[str | RejectedRow]:
    """Yield the text, or why there is none, of each line of a stream that is not blank."""
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix("\ufeff").rstrip("\r\n")
        if not text.strip():
            continue
        try:
            yield check_text(text)
        except InputTextError as error:
            has_bytes = has_raw_bytes(text)
            reason = "it holds bytes that are not UTF-8; convert the file first" if has_bytes else str(error)
            yield RejectedRow(number, reason)


def read_entities(path: Path) -> list[Entity]:
    """Return the companies to be watched, or none where the file does not exist.

    Raises:
        WorkspaceError: if it has another form, or names a company twice.
    """
    if not path.exists():
        return []
    entities: list[Entity] = read_yaml(path, list[Entity], form="a list of companies, each with a name", empty=[])
    names = Counter(entity.name for entity in entities)
    if twice := [name for name, count in names.items() if count > 1]:
        msg = f"{path} names {twice[0]!r} twice; put its aliases and tickers into one entry"
        raise WorkspaceError(msg)
    return entities


def read_known_surges(path: Path) -> list[KnownSurge]:
    """Return the surges known to have happened, or none where the file does not exist.

    Raises:
        DataFileError: if any row cannot be used: figures against half of the surges would mislead.
    """
    if not path.exists():
        return []
    table = read_table(path, ["topic", "start", "end"])
    for row in table.rejected:
        msg = f"{path} line {row.line}: {row.reason}"
        raise DataFileError(msg)
    return [_surge(path, row) for row in table.rows]


def _surge(path: Path, row: Row) -> KnownSurge:
    try:
        start, end = (datetime.fromisoformat(row.values[name]) for name in ("start", "end"))
        if start.tzinfo is None or end.tzinfo is None:
            msg = "a time has no zone, such as +00:00"
            raise DataFileError(msg)
        return KnownSurge(row.values["topic"], start, end)
    except ValueError as error:
        msg = f"{path} line {row.line}: {error}"
        raise DataFileError(msg) from error


def _item(values: dict[str, Any]) -> Item:
    return Item(
        id=values["id"],
        title=values["title"],
        description=values["description"],
        tags=tuple(tag.strip() for tag in values["tags"].split("|") if tag.strip()),
        price=values["price"] or None,
        created=values["created"] or None,
        stock=values.get("stock") or None,
        available_from=values.get("available_from") or None,
    )


def _event(values: dict[str, Any]) -> Event:
    known = _only(values, Event)
    # a cell of a table is empty where nothing is known
    return Event.model_validate(known | {name: known.get(name) or None for name in ("opinion", "place", "propensity")})


def warn_of_rejected(path: Path, rows: Sequence[RejectedRow]) -> None:
    """Say in the log how many rows of a file were set aside, and why the first one was."""
    if rows:
        _log.warning(
            "%d rows of %s are set aside, the first in line %d: %s", len(rows), path, rows[0].line, rows[0].reason
        )


def _parse(rows: Sequence[Row], make: Callable[[dict[str, Any]], T]) -> tuple[list[tuple[int, T]], list[RejectedRow]]:
    made: list[tuple[int, T]] = []
    rejected: list[RejectedRow] = []
    for row in rows:
        try:
            made.append((row.line, make(row.values)))
        except ValidationError as error:
            rejected.append(RejectedRow(row.line, describe_errors(error, show_values=True)))
        except TuneChainError as error:
            rejected.append(RejectedRow(row.line, str(error)))
    return made, rejected


def _only(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return the values the model knows; files may have further columns for other programs."""
    return {name: value for name, value in values.items() if name in model.model_fields}


def _warn_of_missing_words(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Say which ids are words that programs write for a missing value: all rows without an id would be one user."""
    for name in columns:
        found = [row for row in rows if is_missing_word(str(row.values[name]).strip())]
        if found:
            _log.warning(
                "%s has %r as %s in %d rows, the first in line %d; leave it empty where it means that none is known",
                path,
                str(found[0].values[name]),
                name,
                len(found),
                found[0].line,
            )


def _warn_of_other_columns(path: Path, rows: Sequence[Row], model: type[BaseModel]) -> None:
    """Say which columns nothing is made of: a misspelt `stock` must not sell what is not there."""
    other = dict.fromkeys(name for row in rows for name in row.values if name not in model.model_fields)
    if other:
        known = ", ".join(model.model_fields)
        _log.warning("%s has columns that are not read: %s (read are %s)", path, ", ".join(map(repr, other)), known)


def _in_order(*parts: Sequence[RejectedRow]) -> list[RejectedRow]:
    return sorted((row for part in parts for row in part), key=lambda row: row.line)
