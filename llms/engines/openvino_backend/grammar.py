"""Constraints as EBNF for the XGrammar inside OpenVINO GenAI.

Its own converters are not used: its JSON lets a model write white space without end (`max_whitespace_cnt` and
`any_whitespace` are ignored), and what it cannot convert makes a step fail for all requests. Here a constraint is
refused before it comes near the pipeline. Where a rule would be hard to say exactly, a narrower one is said, so
that every answer is valid.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from llms.engines.constraints import Constraint, FreeText, InOrder, JsonSchema, OneOf, Pattern, Text
from llms.engines.openvino_backend.ebnf import (
    PLAIN,
    choice,
    integer_pattern,
    literal,
    number_pattern,
    refuse,
    regex,
    repeated,
    sequence,
)
from llms.errors import ConstraintError

_NO_MEANING = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}
    | {"$schema", "$id", "$comment", "$defs", "definitions"}
)
_KEYWORDS = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties", "minProperties", "maxProperties"}),
}
_ALL_KEYWORDS = frozenset[str]().union(*_KEYWORDS.values())
_DATE, _TIME = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])", "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FORMATS = {
    "date": _DATE,
    "time": f"{_TIME}Z",
    "date-time": f"{_DATE}T{_TIME}Z",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "email": "[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?@[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?[.][a-z]{2,8}",
}


def to_ebnf(constraint: Constraint) -> str:
    """Return the constraint as a grammar whose rule `root` is the whole answer.

    Raises:
        ConstraintError: if it is malformed, cannot be satisfied, or uses what cannot be checked token by token.

    Example:
        >>> print(to_ebnf(OneOf((Text("yes"), Pattern("[0-9]+")))))
        root ::= ("yes" | [0-9]+)
    """
    rules: dict[str, str] = {}
    rules["root"] = _expression(constraint, rules)
    return "\n".join(f"{name} ::= {body}" for name, body in sorted(rules.items(), key=lambda rule: rule[0] != "root"))


def _expression(constraint: Constraint, rules: dict[str, str]) -> str:
    match constraint:
        case Text(text):
            return literal(text)
        case Pattern(pattern):
            return regex(pattern)
        case JsonSchema(schema):
            try:
                return _Schema(json.loads(schema), rules).expression()
            except (TypeError, ValueError, AttributeError, RecursionError) as error:
                if isinstance(error, ConstraintError):
                    raise
                refuse(f"the schema is malformed ({error})")
        case InOrder(parts):
            return sequence(_expression(part, rules) for part in parts)
        case OneOf(parts):
            return choice(_expression(part, rules) for part in parts)
        case FreeText(begun):
            tags = []
            for opening, part in begun:
                body = _expression(part, rules)
                rules[name := f"begun_{len(rules)}"] = body
                tags.append(f"({literal(opening)}, {name})")
            return f"TagDispatch({', '.join(tags)}, stop_eos=true, loop_after_dispatch=true)"


# JSON schemas


class _Schema:
    """One schema on its way to rules; `rules` is shared, so names are counted on from what is there."""

    def __init__(self, schema: Any, rules: dict[str, str]) -> None:
        self._whole = schema
        self._rules = rules
        self._references: dict[str, str] = {}
        self._makers: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "string": self._string,
            "integer": _integer,
            "number": _number,
            "boolean": lambda _: '("true" | "false")',
            "null": lambda _: '"null"',
            "array": self._array,
            "object": self._object,
        }

    def expression(self) -> str:
        return self._value(self._whole)

    def _value(self, schema: Any) -> str:
        if schema is True or schema == {}:
            return self._anything()
        if not isinstance(schema, dict):
            refuse(f"{schema!r} is a schema that nothing fits")
        if unknown := sorted(set(schema) - _ALL_KEYWORDS - _NO_MEANING - _CHOOSERS - {"type"}):
            refuse(f"the schema's keyword {unknown[0]!r} cannot be checked token by token")
        for keyword in ("$ref", "const", "enum", "anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self._chosen(keyword, schema)
        return self._typed(schema)

    def _chosen(self, keyword: str, schema: Mapping[str, Any]) -> str:
        others = set(schema) - _NO_MEANING - {keyword}
        if others - {"type"} or ("type" in others and keyword not in ("const", "enum")):
            refuse(f"{keyword!r} together with {sorted(others)[0]!r} cannot be checked token by token")
        content = schema[keyword]
        if keyword == "$ref":
            return self._referred(content)
        if keyword == "const":
            return _json_literal(content)
        if not isinstance(content, list) or not content:
            refuse(f"{keyword!r} must be a list with something in it")
        if keyword == "enum":
            return choice(_json_literal(value) for value in content)
        if keyword == "allOf" and len(content) > 1:
            refuse("'allOf' of several schemas cannot be checked token by token")
        return choice(self._value(part) for part in content)

    def _referred(self, reference: Any) -> str:
        if reference not in self._references:
            if not isinstance(reference, str) or not reference.startswith("#"):
                refuse(f"the reference {reference!r} leads out of the schema")
            found = self._whole
            for step in reference[1:].split("/")[1:]:
                name = step.replace("~1", "/").replace("~0", "~")
                if not isinstance(found, dict) or name not in found:
                    refuse(f"the reference {reference!r} leads nowhere")
                found = found[name]
            # named before its body is made, so that a schema may hold itself
            self._references[reference] = name = self._new_rule('""')
            self._rules[name] = self._value(found)
            if self._rules[name] == name:
                refuse(f"the reference {reference!r} leads to itself")
        return self._references[reference]

    def _typed(self, schema: Mapping[str, Any]) -> str:
        kinds = schema.get("type", [kind for kind, words in _KEYWORDS.items() if words & set(schema)][:1])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not kinds:
            return self._anything()
        for kind in kinds:
            if kind not in self._makers:
                refuse(f"{kind!r} is no type of JSON Schema")
        used = set(schema) - _NO_MEANING - {"type"}
        if stray := sorted(used.difference(*(_KEYWORDS[kind] for kind in kinds))):
            refuse(f"the keyword {stray[0]!r} means nothing for type {'/'.join(kinds)}")
        return choice(self._makers[kind](schema) for kind in kinds)

    def _string(self, schema: Mapping[str, Any]) -> str:
        pattern = schema.get("pattern", _FORMATS.get(schema.get("format", "")))
        has_length = "minLength" in schema or "maxLength" in schema
        if pattern is None:
            length = _counts(schema, "minLength", "maxLength")
            return f'"\\"" {repeated(self._character(), *length)} "\\""'
        if has_length or {"pattern", "format"} <= set(schema):
            refuse("a string's pattern, format and length cannot be checked together")
        body = regex(pattern if "pattern" in schema else f"^{pattern}$", in_json=True)
        return f'"\\"" {body} "\\""'

    def _character(self) -> str:
        self._rules.setdefault("json_character", f'{PLAIN} | "\\\\" ["\\\\/bfnrt]')
        return "json_character"

    def _array(self, schema: Mapping[str, Any]) -> str:
        first = [self._value(item) for item in schema.get("prefixItems", ())]
        least, most = _counts(schema, "minItems", "maxItems")
        items = schema.get("items", True)
        if first:  # a tuple: all of its places are filled, and more only as far as `items` says
            rest = '""' if items is False or "items" not in schema else f'(", " {self._value(items)})*'
            if least > len(first) or (most is not None and most < len(first)):
                refuse("'prefixItems' together with 'minItems' or 'maxItems' cannot be checked token by token")
            return sequence(['"["', ' ", " '.join(first), rest, '"]"'])
        if items is False or most == 0:
            return '"[]"' if least == 0 else refuse("an array that must hold items, but may hold none")
        item = self._new_rule(self._value(items))
        return f'"[" {_listed(item, least, most)} "]"'

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties = schema.get("properties", {})
        required = set(schema.get("required", ()))
        if not isinstance(properties, dict):
            refuse(f"'properties' must be an object, got {properties!r}")
        if missing := sorted(required - set(properties)):
            refuse(f"{missing[0]!r} is required but not described among the properties")
        least, most = _counts(schema, "minProperties", "maxProperties")
        if not properties:
            more = schema.get("additionalProperties", True)
            if more is False or most == 0:
                return '"{}"' if least == 0 else refuse("an object that must hold properties, but may hold none")
            pair = self._new_rule(f'"\\"" ({self._character()})* "\\"" ": " {self._value(more)}')
            return f'"{{" {_listed(pair, least, most)} "}}"'
        if least > len(required) or (most is not None and most < len(properties)):
            refuse("'minProperties' or 'maxProperties' beside named properties cannot be checked token by token")
        return f'"{{" {self._pairs(properties, required)} "}}"'

    def _pairs(self, properties: Mapping[str, Any], required: set[str]) -> str:
        """Return the named properties in their order; optional ones may be left out, further ones are not added."""
        after = begin = '""'  # what may follow once a pair is written, and before one is
        for name, schema in reversed(list(properties.items())):
            pair = self._new_rule(f"{literal(_dumped(name) + ': ')} {self._value(schema)}")
            with_pair = sequence([pair, after])
            begin = with_pair if name in required else choice([with_pair, begin])
            following = f'", " {pair}' if name in required else f'(", " {pair})?'
            after = self._new_rule(sequence([following, after]))
        return begin

    def _anything(self) -> str:
        if "json_value" not in self._rules:
            self._rules["json_value"] = '""'  # named before its body is made: it holds itself
            text = f'"\\"" ({self._character()})* "\\""'
            pair = self._new_rule(f'{text} ": " json_value')
            self._rules["json_value"] = choice(
                [
                    text,
                    regex(number_pattern(None, None)),
                    '"true"',
                    '"false"',
                    '"null"',
                    f'"[" {_listed("json_value", 0, None)} "]"',
                    f'"{{" {_listed(pair, 0, None)} "}}"',
                ]
            )
        return "json_value"

    def _new_rule(self, body: str) -> str:
        name = f"json_{len(self._rules)}"
        self._rules[name] = body
        return name


_CHOOSERS = frozenset({"$ref", "const", "enum", "anyOf", "oneOf", "allOf"})


def _json_literal(value: Any) -> str:
    return literal(_dumped(value))


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # the style of all JSON here: ", " and ": "


def _listed(item: str, least: int, most: int | None) -> str:
    """Return items with commas between them."""
    more = repeated(f'", " {item}', max(least - 1, 0), None if most is None else most - 1)
    several = sequence([item, more])
    return several if least else f"({several})?"


def _counts(schema: Mapping[str, Any], least_name: str, most_name: str) -> tuple[int, int | None]:
    least, most = schema.get(least_name, 0), schema.get(most_name)
    for name, count in ((least_name, least), (most_name, most)):
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
            refuse(f"{name!r} must be a whole number of at least 0, got {count!r}")
    return least, most


def _integer(schema: Mapping[str, Any]) -> str:
    low, excludes_low = _bound(schema, "minimum", "exclusiveMinimum")
    high, excludes_high = _bound(schema, "maximum", "exclusiveMaximum")
    try:
        return regex(
            integer_pattern(None if low is None else low + excludes_low, None if high is None else high - excludes_high)
        )
    except ValueError as error:
        refuse(str(error))


def _number(schema: Mapping[str, Any]) -> str:
    low, excludes_low = _bound(schema, "minimum", "exclusiveMinimum")
    high, excludes_high = _bound(schema, "maximum", "exclusiveMaximum")
    try:
        return regex(number_pattern(low, high, excludes_lowest=excludes_low, excludes_highest=excludes_high))
    except ValueError as error:
        refuse(str(error))


def _bound(schema: Mapping[str, Any], inclusive: str, exclusive: str) -> tuple[int | None, bool]:
    """Return a bound, and whether it is itself left out."""
    if {inclusive, exclusive} <= set(schema):
        refuse(f"{inclusive!r} together with {exclusive!r}; give one of them")
    name = exclusive if exclusive in schema else inclusive
    bound = schema.get(name)
    if bound is None:
        return None, False
    is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
    if not is_number or not math.isfinite(bound) or bound != int(bound):
        refuse(f"{name!r} must be a whole number here, got {bound!r}")
    return int(bound), name == exclusive
