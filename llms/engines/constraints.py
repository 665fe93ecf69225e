"""Constraints on answers: text, pattern, JSON schema, sequences and choices of these, and calls within free text.

Each engine compiles a constraint for its own library: `to_lark` makes a grammar for llguidance,
`openvino_grammar.to_ebnf` one for the XGrammar inside OpenVINO GenAI. JSON is written on one line, so that no model can
fill its answer with white space.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llms.errors import ConstraintError

# one space where Python's own json.dumps puts one, which is what models have mostly seen
_JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that matches a regular expression as a whole; look-around and back-references are not offered."""

    regex: str


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """JSON that is valid under a schema, which is kept as JSON text so that constraints can be compared."""

    schema: str

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "JsonSchema":
        """Return the constraint for a schema given as a mapping.

        Raises:
            ConstraintError: if the schema is no JSON.
        """
        try:
            return cls(json.dumps(schema, ensure_ascii=False))
        except (TypeError, ValueError) as error:
            msg = f"the schema is no JSON: {error}"
            raise ConstraintError(msg) from error


@dataclass(frozen=True, slots=True)
class InOrder:
    """All parts, one after the other."""

    parts: "tuple[Constraint, ...]"


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any one of the parts."""

    parts: "tuple[Constraint, ...]"


@dataclass(frozen=True, slots=True)
class FreeText:
    """Any text; where one of the openings was written, what belongs to it follows, and then any text again.

    It only makes whole what the model begins by itself, so an engine that cannot follow it leaves it out.

    Attributes:
        parts: (opening, what follows it) each; no opening holds another one.
    """

    parts: "tuple[tuple[str, Constraint], ...]"


Constraint = Text | Pattern | JsonSchema | InOrder | OneOf | FreeText


def choices_constraint(choices: Sequence[str]) -> Constraint:
    """Return the constraint for an answer that is one of `choices`.

    Raises:
        ConstraintError: if there is no choice, or one is empty or no text.
    """
    if isinstance(choices, str) or not choices or not all(isinstance(choice, str) and choice for choice in choices):
        msg = f"choices must be a list of texts, none of them empty, got {choices!r}"
        raise ConstraintError(msg)
    return OneOf(tuple(Text(choice) for choice in dict.fromkeys(choices)))


def closed_schema(schema: Any) -> Any:
    """Return a schema whose objects hold nothing but the properties they name, unless they say otherwise.

    A model that may add properties of its own tends to go on adding them.

    Example:
        >>> closed_schema({"type": "object", "properties": {"a": {}}})["additionalProperties"]
        False
    """
    if isinstance(schema, list):
        return [closed_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: value if key in ("default", "const", "enum", "examples") else closed_schema(value)
        for key, value in schema.items()
    }
    names_properties = isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object"
    return (
        {**closed, "additionalProperties": False}
        if names_properties and "additionalProperties" not in schema
        else closed
    )


def to_lark(constraint: Constraint, *, mark_ids: Sequence[int] = ()) -> str:
    """Return the constraint as a grammar in llguidance's form of Lark.

    Args:
        mark_ids: tokens such as `<tool_call>` that free text may hold, and that llguidance takes for no text.

    Example:
        >>> print(to_lark(OneOf((Text("yes"), Pattern("[0-9]+")))))
        start: ("yes" | /(?:[0-9]+)/)
    """
    rules: list[str] = []

    def expression(part: Constraint) -> str:
        match part:
            case Text(text):
                return json.dumps(text)
            case Pattern(regex):
                escaped = regex.replace("/", r"\/").replace("\n", r"\n")
                return f"/(?:{escaped})/"
            case JsonSchema(schema):
                content = json.loads(schema)
                styled = {**content, "x-guidance": _JSON_STYLE} if isinstance(content, dict) else content
                rules.append(f"json_{len(rules)}: %json {json.dumps(styled)}")
                return f"json_{len(rules) - 1}"
            case InOrder(parts):
                return " ".join(expression(inner) for inner in parts)
            case OneOf(parts):
                return "(" + " | ".join(expression(inner) for inner in parts) + ")"
            case FreeText(parts):
                first = len(rules)
                rules.append("FREE_TEXT: /(.|\\n)*/")
                begun = []
                for opening, inner in parts:
                    name = f"opening_{len(rules)}"
                    rules.append(f"{name}[lazy]: FREE_TEXT {json.dumps(opening)}")  # it ends with the opening
                    begun.append(f"{name} {expression(inner)}")
                if mark_ids:
                    begun.append(f"FREE_TEXT? <[{','.join(map(str, mark_ids))}]>")
                rules.append(f"free_{first}: ({' | '.join(begun)})* FREE_TEXT")
                return f"free_{first}"

    return "\n".join([f"start: {expression(constraint)}", *rules])
