"""Entries added to YAML files that people wrote: whatever else stands there stays as it is, comments included."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from apps.errors import WorkspaceError

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# words that YAML reads as something else than a text
_NOT_TEXT = re.compile(r"(?i:true|false|yes|no|on|off|null|y|n|nan|inf)")
_Value = str | Sequence[str] | Mapping[str, str]


def add_to_mapping(text: str, section: str, entries: Mapping[str, _Value]) -> str:
    r"""Return a YAML text with entries added to one of its sections, behind those that are there.

    Args:
        text: of the file, a mapping of sections.
        section: is made at the end if it is not there.
        entries: none of them is there yet.

    Raises:
        WorkspaceError: if the text is written in a way that is not understood here.

    Example:
        >>> print(add_to_mapping('answers:  # ours\n  hello: "Hi"\n', "answers", {"bye": "Good bye"}))
        answers:  # ours
          hello: "Hi"
          bye: "Good bye"
        <BLANKLINE>
    """
    if not entries:
        return text
    before = yaml.safe_load(text) or {}
    known = (before.get(section) if isinstance(before, Mapping) else "none") or {}
    if not (isinstance(before, Mapping) and isinstance(known, Mapping)):
        raise _not_understood(text, f"{section}: ...")
    wanted = {**before, section: {**known, **{key: _plain(value) for key, value in entries.items()}}}
    root = yaml.compose(text)
    node = None if root is None else next((pair for pair in root.value if pair[0].value == section), None)
    if node is None:
        changed = f"{_with_end(text)}{section}:\n{_lines(entries, 2)}"
    elif isinstance(node[1], yaml.MappingNode) and not node[1].flow_style and node[1].value:
        changed = _insert(text, _last_leaf(node[1]), _lines(entries, node[1].value[0][0].start_mark.column))
    else:  # an empty section, or one in braces on one line
        everything = {**known, **entries}
        value = node[1]
        rest = text[value.end_mark.index :] if not _is_empty(value) else text[node[0].end_mark.index + 1 :]
        changed = (
            f"{text[: node[0].end_mark.index]}:\n{_lines(everything, 2)}{rest.lstrip(' ').removeprefix(_end(text))}"
        )
    return _checked(text, changed, wanted, f"{section}: ...")


def add_to_list(text: str, entries: Sequence[Mapping[str, _Value]]) -> str:
    r"""Return a YAML text, which is a list of mappings, with entries behind those that are there.

    Raises:
        WorkspaceError: if the text is written in a way that is not understood here.

    Example:
        >>> print(add_to_list('# known\n- id: a\n', [{"id": "b", "answer": "Yes."}]))
        # known
        - id: a
        - id: "b"
          answer: "Yes."
        <BLANKLINE>
    """
    if not entries:
        return text
    before = yaml.safe_load(text) or []
    if not isinstance(before, list):
        raise _not_understood(text, "- id: ...")
    wanted = [*before, *({key: _plain(value) for key, value in entry.items()} for entry in entries)]
    root = yaml.compose(text)
    if root is None:
        return _checked(text, _with_end(text) + _items(entries, 0), wanted, "- id: ...")
    if not isinstance(root, yaml.SequenceNode) or root.flow_style or not root.value:
        return _checked(text, _items([*before, *entries], 0), wanted, "- id: ...")
    changed = _insert(text, _last_leaf(root), _items(entries, root.start_mark.column))
    return _checked(text, changed, wanted, "- id: ...")


def _insert(text: str, leaf: yaml.Node, lines: str) -> str:
    """Return the text with lines below the one in which a value ends."""
    index = leaf.end_mark.index
    if not (isinstance(leaf, yaml.ScalarNode) and leaf.style in ("|", ">")):
        found = text.find("\n", index)
        index = len(text) if found < 0 else found + 1
    else:  # such a value ends where the next one begins, behind comments that belong to that
        kept = text[leaf.start_mark.index : index].rstrip()
        index = text.find("\n", leaf.start_mark.index + len(kept))
        index = len(text) if index < 0 else index + 1
    return f"{_with_end(text[:index])}{lines}{text[index:]}".replace("\r\n", "\n").replace("\n", _end(text))


def _last_leaf(node: yaml.Node) -> yaml.Node:
    while isinstance(node, yaml.MappingNode | yaml.SequenceNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value


def _lines(entries: Mapping[str, Any], column: int) -> str:
    return "".join(_line(key, value, " " * column) for key, value in entries.items())


def _items(entries: Sequence[Mapping[str, Any]], column: int) -> str:
    found = [_lines(entry, column + 2) for entry in entries]
    return "".join(f"{' ' * column}- {lines[column + 2 :]}" for lines in found)


def _line(key: str, value: Any, indent: str) -> str:
    name = key if _PLAIN_KEY.fullmatch(key) and not _NOT_TEXT.fullmatch(key) else _quoted(key)
    if isinstance(value, Mapping):
        return f"{indent}{name}:\n{_lines(value, len(indent) + 2)}"
    if isinstance(value, str):
        return f"{indent}{name}: {_quoted(value)}\n"
    return f"{indent}{name}:\n" + "".join(f"{indent}  - {_quoted(one)}\n" for one in value)


def _quoted(text: str) -> str:
    # what JSON leaves as it is and YAML takes for the end of a line, or does not allow
    shown = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", shown)


def _plain(value: _Value) -> Any:
    if isinstance(value, str):
        return value
    return dict(value) if isinstance(value, Mapping) else list(value)


def _with_end(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _checked(before: str, changed: str, wanted: object, form: str) -> str:
    """Return the changed text if it says what is wanted, and nothing else."""
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(changed) == wanted:
            return changed
    raise _not_understood(before, form)


def _not_understood(text: str, form: str) -> WorkspaceError:
    return WorkspaceError(f"entries cannot be added to what begins with {text[:40]!r}; write lines of the form {form}")
