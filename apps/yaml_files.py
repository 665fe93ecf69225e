"""YAML files that people write: names are texts, each is given once, and a fault is said with its line."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypeVar

from apps.errors import WorkspaceError
from llms.errors import TextEncodingError
from llms.field_errors import describe_field
from llms.texts import decode_text

_TEXT_TAG = "tag:yaml.org,2002:str"
_READ_AS = {"bool": "true or false", "null": "nothing", "int": "a number", "float": "a number", "timestamp": "a date"}

T = TypeVar("T")


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader, for mappings whose keys are texts and stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's interface
        """Return the mapping; refuse a key that is no text, and one given twice, whose first value would be lost."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _TEXT_TAG and not key.tag.endswith(":merge"):
                kind = _READ_AS.get(key.tag.rpartition(":")[2], "something else")
                place = f"{key.value!r} in line {key.start_mark.line + 1}"
                msg = f'{place} is read as {kind}, but a name is needed; put it in quotes: "{key.value}":'
                raise yaml.constructor.ConstructorError(problem=msg)
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                msg = f"{key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, msg, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, kind: type[T] | Any, *, form: str, empty: object = None) -> T:
    """Return what a file holds, as a value of a kind.

    Args:
        kind: what pydantic checks it against.
        form: what the file needs, for a message where it has another form.
        empty: what a file without anything in it stands for.

    Raises:
        WorkspaceError: if it cannot be read or has another form; with the line.
    """
    try:
        text = decode_text(path.read_bytes())
    except TextEncodingError as error:
        msg = f"{path} {error}"
        raise WorkspaceError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise WorkspaceError(msg) from error
    try:
        # the loader is PyYAML's safe one
        value = yaml.load(text, Loader=_PlainLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        msg = f"{path} cannot be read as YAML: {_yaml_problem(error, text)}"
        raise WorkspaceError(msg) from error
    try:
        checked: T = TypeAdapter(kind).validate_python(empty if value is None else value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        fault = describe_field(first)
        is_plain = first["type"] == "string_type" and not isinstance(first["input"], dict | list | None)
        line = _line_of(yaml.compose(text, Loader=_PlainLoader), first["loc"])
        msg = f"{path} needs {form}: {fault}{line}{'; put it in quotes' if is_plain else ''}"
        raise WorkspaceError(msg) from error
    return checked


def _yaml_problem(error: Exception, text: str) -> str:
    if isinstance(error, RecursionError):
        return "brackets are nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"the invisible character U+{ord(text[error.position]):04X} in line {line}; remove it"
    return str(error)


def _line_of(node: yaml.Node | None, place: Sequence[int | str]) -> str:
    """Return " (line N)" for the value at a place, or for the nearest one around it that is there."""
    if node is None or not place:
        return ""
    for part in place:
        following = _child(node, part)
        if following is None:
            break
        node = following
    return f" (line {node.start_mark.line + 1})"


def _child(node: yaml.Node, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part] if part < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
