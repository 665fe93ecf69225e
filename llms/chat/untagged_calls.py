"""Tool calls that a model writes outside its template's tags: fenced or bare JSON, lists, Python-like calls.

Models of every family do so at times, above all small ones. Only what is a whole call to a bound tool counts, at the
beginning of a line; anything else stays text, and so does a call that stands in what users or tools said.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from llms.chat.tool_formats import Tool, read_call

_MAX_FENCE_CHARS = 24  # "```tool_call" and the like
_TAGS = ("tool_call", "tools", "function_call", "|python_tag|")  # also of other models than the dialect's
_FENCE = re.compile(rf"(?:```[\w -]*\n|<(?P<tag>{'|'.join(map(re.escape, _TAGS))})>)\s*")
_FENCE_BEGINNING = re.compile(r"`{1,2}|```[\w -]*\n?\s*")
_TAG_BEGINNINGS = {f"<{tag}>"[:size] for tag in _TAGS for size in range(1, len(tag) + 3)}
_FIRST_KEYS = ("name", "function", "tool", "tool_name", "arguments", "parameters", "args", "type", "tool_calls", "id")
_NAME_KEYS = ("name", "tool", "tool_name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_FIRST_KEY = re.compile(r'[\[\s]*\{\s*"([^"\\]*)"')
_FIRST_NAME = re.compile(r'[\[\s]*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"(?:name|tool|tool_name)"\s*:\s*"([^"\\]*)"')
_JSON_WORDS = {"true": True, "false": False, "null": None}
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class UntaggedCall:
    """A whole call, or one that broke off: then `error` says why, and `arguments` is empty."""

    name: str
    arguments: dict[str, Any]
    text: str
    error: str = ""


class UntaggedCallReader:
    r"""Tells text from calls while both are written.

    Args:
        tools: what the model may call.
        quoted: what users and tools said; a call that stands in there word for word is a quotation.

    Example:
        >>> reader = UntaggedCallReader([{"function": {"name": "look_up"}}])
        >>> list(reader.feed('One moment.\n```json\n{"name": "look_up", "argu'))
        ['One moment.\n']
        >>> [call] = reader.feed('ments": {"id": 7}}\n```')
        >>> call.name, call.arguments
        ('look_up', {'id': 7})
    """

    def __init__(self, tools: Sequence[Tool], *, quoted: Sequence[str] = ()) -> None:
        self._names = {str(tool["function"]["name"]) for tool in tools}
        self._quoted = [_squeezed(text) for text in quoted]
        self._held = ""  # from where a call may begin
        self._at_line_start = True

    def feed(self, text: str) -> Iterator[str | UntaggedCall]:
        """Yield what is certain after `text`; what may become a call is held back."""
        self._held += text
        yield from self._take(is_end=False)

    def finish(self) -> Iterator[str | UntaggedCall]:
        """Yield what was held back; nothing more comes."""
        yield from self._take(is_end=True)

    def drop_fence(self) -> None:
        """Forget the opening of a code fence that is held back; a tagged call follows it."""
        if _FENCE.fullmatch(self._held.lstrip()):
            self._held = ""

    def _take(self, *, is_end: bool) -> Iterator[str | UntaggedCall]:
        while self._held:
            plain, self._held = self._split_plain(self._held)
            if plain:
                self._at_line_start = plain.rstrip(" \t").endswith("\n")
                yield plain
            if not self._held:
                return
            found = self._read_candidate(self._held, is_end=is_end)
            if found is None:  # it may still become a call
                return
            calls, size = found
            if calls:
                yield from calls
                self._held = self._held[size:]
                self._at_line_start = True
            else:  # no call: its first line is text
                line = self._held.find("\n") + 1 or len(self._held)
                yield self._held[:line]
                self._held = self._held[line:]
                self._at_line_start = line > 0 and self._held != ""

    def _split_plain(self, text: str) -> tuple[str, str]:
        """Return the text before the first line that may begin a call, and the rest."""
        start = 0
        is_start = self._at_line_start
        while start < len(text):
            if is_start and self._may_begin(text[start:]):
                return text[:start], text[start:]
            end = text.find("\n", start)
            if end < 0:
                break
            start, is_start = end + 1, True
        return text, ""

    def _may_begin(self, text: str) -> bool:
        line = text.lstrip(" \t\n")
        if not line:
            return False
        if line[0] == "<":
            return bool(_FENCE.match(line)) or line in _TAG_BEGINNINGS
        if line[0] in "{[`":
            return line[0] != "`" or bool(_FENCE.match(line) or _FENCE_BEGINNING.fullmatch(line[:_MAX_FENCE_CHARS]))
        word = re.match(r"[\w.-]*", line)
        name = word[0] if word else ""
        if len(name) == len(line):
            return any(known.startswith(name) for known in self._names)
        return name in self._names and line[len(name)] == "("

    def _read_candidate(self, text: str, *, is_end: bool) -> tuple[list[UntaggedCall], int] | None:
        """Return the calls at the beginning of a text and their length: none if it is no call, None if unsure."""
        body_start = len(text) - len(text.lstrip(" \t\n"))
        fence = _FENCE.match(text, body_start)
        if fence is None and text.startswith(("`", "<"), body_start):
            return None if not is_end and len(text) - body_start < _MAX_FENCE_CHARS else ([], 0)
        body_start = fence.end() if fence else body_start
        body = text[body_start:]
        if not body:
            return None if not is_end else ([], 0)
        read = self._read_python(body, is_end=is_end) if body[0] not in "{[" else self._read_json(body, is_end=is_end)
        if read is None:
            return self._cut_off(body) if is_end else None
        calls, size = read
        end = body_start + size
        if not calls or not fence:
            return calls, end
        mark = f"</{fence['tag']}>" if fence["tag"] else "```"
        rest = text[end:].lstrip()
        if not is_end and len(rest) < len(mark) and mark.startswith(rest):
            return None
        return calls, len(text) - len(rest[len(mark) :].lstrip(" \t")) if rest.startswith(mark) else end

    def _read_json(self, body: str, *, is_end: bool) -> tuple[list[UntaggedCall], int] | None:
        first = _FIRST_KEY.match(body)
        named = _FIRST_NAME.match(body)
        if (first and first[1] not in _FIRST_KEYS) or (named and named[1] not in self._names):
            return [], 0
        try:
            value, size = _DECODER.raw_decode(body)
        except json.JSONDecodeError:
            if not _closed_size(body):
                return None
            return self._read_python(body, is_end=is_end)
        except RecursionError:
            return [], 0
        return self._accept(_calls_in(value), body[:size]), size

    def _read_python(self, body: str, *, is_end: bool) -> tuple[list[UntaggedCall], int] | None:
        """Return the calls of a text such as `look_up(id=7)` or `[look_up(id=7), search(text="a")]`."""
        size = _closed_size(body)
        if not size:
            return None
        rest, newline, _ = body[size:].partition("\n")
        if rest.strip():  # a sentence about a call
            return [], 0
        if not newline and not is_end:
            return None
        written = body[:size]
        try:
            parsed = ast.parse(written.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return [], 0
        nodes = parsed.elts if isinstance(parsed, ast.List) else [parsed]
        calls = [_python_call(node) for node in nodes]
        if not calls or None in calls:
            return [], 0
        return self._accept([call for call in calls if call], written), size

    def _accept(self, calls: Sequence[tuple[str, dict[str, Any]]], text: str) -> list[UntaggedCall]:
        if not calls or any(name not in self._names for name, _ in calls) or self._is_quoted(text):
            return []
        return [UntaggedCall(name, arguments, text) for name, arguments in calls]

    def _cut_off(self, body: str) -> tuple[list[UntaggedCall], int]:
        named = _FIRST_NAME.match(body)
        if named is None or named[1] not in self._names or self._is_quoted(body):
            return [], 0
        return [UntaggedCall(named[1], {}, body.strip(), "it was cut off")], len(body) + _MAX_FENCE_CHARS

    def _is_quoted(self, text: str) -> bool:
        squeezed = _squeezed(text)
        return any(squeezed in quoted for quoted in self._quoted)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _closed_size(body: str) -> int:
    """Return how many characters it takes until the brackets that a text opens are closed; 0 if they stay open."""
    depth = 0
    quote = ""
    position = 0
    while position < len(body):
        char = body[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth <= 0:
                return position + 1
        position += 1
    return 0


def _calls_in(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls in a JSON value; none if any part of it is something else."""
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    calls = [_json_call(item) for item in (value if isinstance(value, list) else [value])]
    return [call for call in calls if call] if calls and all(calls) else []


def _json_call(value: Any) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    arguments: Any = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
    try:
        return read_call({"name": name, "arguments": arguments})
    except ValueError:
        return None


class _JsonWords(ast.NodeTransformer):
    """Reads JSON's `true`, `false` and `null` within a Python-like call."""

    @override
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_JSON_WORDS[node.id]) if node.id in _JSON_WORDS else node


def _python_call(node: ast.expr) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the arguments of `name(key=literal, ...)`; nothing is evaluated but literals."""
    if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name | ast.Attribute):
        return None
    try:
        arguments = {
            str(keyword.arg): ast.literal_eval(_JsonWords().visit(keyword.value))
            for keyword in node.keywords
            if keyword.arg
        }
        json.dumps(arguments)
    except (ValueError, TypeError, RecursionError):
        return None
    return ast.unparse(node.func), arguments if len(arguments) == len(node.keywords) else {}
