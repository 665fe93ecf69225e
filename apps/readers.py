"""Readers of a workspace's files: checked objects; unusable rows are set aside with their line number."""

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from apps.errors import WorkspaceError
from chains.customer_service import KnownQuestion, TemplateBook
from chains.monitoring import KnownSurge, Post
from llms.errors import DataFileError, TuneChainError
from llms.finetuning.data import RejectedRow, Row, check_values, read_table, refuse_bad_file
from retrievers import Event, Item, ItemCatalogue

T = TypeVar("T", bound=BaseModel)
_KNOWN_QUESTIONS = TypeAdapter(list[KnownQuestion])


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader; of a key given twice it would silently keep the last, here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's interface
        """Return the mapping, or refuse it if a key stands twice."""
        seen: set[tuple[str, str]] = set()
        for key_node, _ in node.value:
            key = (key_node.tag, str(key_node.value))
            if isinstance(key_node, yaml.ScalarNode) and key in seen:
                msg = f"{key_node.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, msg, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_templates(path: Path) -> TemplateBook:
    """Return the approved answers of a `templates.yaml`.

    Raises:
        WorkspaceError: if the file is missing or has another form.
    """
    if not path.exists():
        msg = f"there is no {path}; it maps each intent to its approved answer"
        raise WorkspaceError(msg)
    try:
        return TemplateBook.model_validate(_read_yaml(path))
    except ValidationError as error:
        msg = f"{path} needs 'answers' (intent: text) and may have 'slots' (name: pattern, ask): {_problem(error)}"
        raise WorkspaceError(msg) from error


def read_known_questions(path: Path) -> list[KnownQuestion]:
    """Return the curated answers of a `known_questions.yaml`; none if there is no such file.

    Raises:
        WorkspaceError: if the file has another form.
    """
    if not path.exists():
        return []
    try:
        return _KNOWN_QUESTIONS.validate_python(_read_yaml(path))
    except ValidationError as error:
        msg = f"{path} needs a list of 'id', 'question' and 'answer', 'wordings' if there are any: {_problem(error)}"
        raise WorkspaceError(msg) from error


def _read_yaml(path: Path) -> Any:
    try:
        # the loader is PyYAML's safe one
        return yaml.load(path.read_text("utf-8-sig"), Loader=_UniqueKeyLoader)  # noqa: S506
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path} cannot be read as YAML: {error}"
        raise WorkspaceError(msg) from error


def read_catalogue(path: Path) -> tuple[ItemCatalogue, list[RejectedRow]]:
    """Return the items of an `items.csv` and the rows set aside; of an id given twice the first row counts."""
    table = read_table(path, ["id", "title", "description", "tags", "price", "created"])
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
    events, rejected = _parse(table.rows, lambda values: Event.model_validate(_only(values, Event)))
    known = [event for line, event in events if event.item in catalogue]
    for line, event in events:
        if event.item not in catalogue:
            rejected.append(RejectedRow(line, f"item {event.item!r} is not in the catalogue"))
    refuse_bad_file(path, known, _in_order(table.rejected, rejected))
    return sorted(known, key=lambda event: event.time), _in_order(table.rejected, rejected)


def read_posts(path: Path) -> tuple[list[Post], list[RejectedRow]]:
    """Return the posts of a `stream.jsonl` and the rows set aside."""
    table = read_table(path, ["id", "time", "source", "text"])
    posts, rejected = _parse(table.rows, lambda values: Post.model_validate(_only(values, Post)))
    refuse_bad_file(path, posts, _in_order(table.rejected, rejected))
    return [post for _, post in posts], _in_order(table.rejected, rejected)


def read_post_lines(stream: TextIO) -> Iterator[Post | RejectedRow]:
    """Yield a post, or why there is none, for each line of a live stream of JSON objects."""
    for number, text in enumerate(stream, start=1):
        line = text.removeprefix("\ufeff")  # some shells put a byte-order mark before what they pipe
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                msg = f"expected a JSON object, got {type(values).__name__}"
                raise DataFileError(msg)
            if problem := check_values(values, ["id", "time", "source", "text"]):
                raise DataFileError(problem)
            yield Post.model_validate(_only(values, Post))
        except ValidationError as error:
            yield RejectedRow(number, _problem(error))
        except (ValueError, RecursionError) as error:
            yield RejectedRow(number, str(error))


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
    )


def _parse(rows: Sequence[Row], make: Callable[[dict[str, Any]], T]) -> tuple[list[tuple[int, T]], list[RejectedRow]]:
    made: list[tuple[int, T]] = []
    rejected: list[RejectedRow] = []
    for row in rows:
        try:
            made.append((row.line, make(row.values)))
        except ValidationError as error:
            rejected.append(RejectedRow(row.line, _problem(error)))
        except TuneChainError as error:
            rejected.append(RejectedRow(row.line, str(error)))
    return made, rejected


def _only(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return the values the model knows; files may have further columns for other programs."""
    return {name: value for name, value in values.items() if name in model.model_fields}


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _in_order(*parts: Sequence[RejectedRow]) -> list[RejectedRow]:
    return sorted((row for part in parts for row in part), key=lambda row: row.line)
