"""Constraints and their form for llguidance: what may be written, and what is refused."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.engines.constraints import (
    FreeText,
    InOrder,
    JsonSchema,
    OneOf,
    Pattern,
    Text,
    choices_constraint,
    closed_schema,
)
from llms.engines.grammar import GrammarCompiler
from llms.errors import ConstraintError, UnsupportedOptionError
from tests.tiny_models import build_chat_tokenizer, build_tool_chat_tokenizer

TOKENIZER = build_chat_tokenizer()
COMPILER = GrammarCompiler(TOKENIZER, num_ids=300, end_ids={TOKENIZER.eos_token_id})


def accepts(constraint, text):
    """Whether every token of `text` is allowed, and the answer may end there."""
    matcher = COMPILER.new_matcher(constraint)
    for token_id in TOKENIZER(text, add_special_tokens=False)["input_ids"]:
        if matcher.is_complete or not matcher.allowed()[token_id]:
            return False
        matcher.accept(token_id)
    return matcher.is_complete or bool(matcher.allowed()[TOKENIZER.eos_token_id])


@given(st.text(min_size=1, max_size=12, alphabet=st.characters(codec="utf-8")))
def test_a_text_allows_itself_and_nothing_else(text):
    assert accepts(Text(text), text)
    assert not accepts(Text(text), text + "x")


def test_parts_come_in_order_and_choices_are_exclusive():
    constraint = InOrder((Text("a"), OneOf((Text("退货"), Pattern("[0-9]+"))), Text(".")))
    assert all(accepts(constraint, text) for text in ("a退货.", "a12."))
    assert not any(accepts(constraint, text) for text in ("a.", "退货.", "a退货", "a退货12."))


@pytest.mark.parametrize("regex", [r"\d{3}/\d", "a|bc", "[^x]y", "(ab)+c?"])
def test_a_pattern_means_what_python_reads(regex):
    for text in ("123/4", "a", "bc", "ay", "xy", "ab", "ababc", "c", "123"):
        assert accepts(Pattern(regex), text) is bool(re.fullmatch(regex, text))


CALLS = FreeText((("CALL a", Text("(1)")), ("CALL b", Pattern("[(][0-9]{2}[)]"))))


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("", True),
        ("退货 is free\nof CALLs", True),
        ("CALL a(1)", True),
        ("first CALL a(1), then CALL b(22) and CALL a(1).", True),
        ("CALL a(2)", False),
        ("CALL a is one", False),
        ("x CALL b(1)", False),
        ("x CALL b(1", False),
        ("CALL b", False),
    ],
)
def test_text_is_free_until_something_begins_and_again_once_that_is_whole(text, is_allowed):
    assert accepts(CALLS, text) is is_allowed


def test_free_text_may_hold_the_marks_of_a_template_and_no_control_token():
    tokenizer = build_tool_chat_tokenizer(["a b"], vocabulary_size=300)
    compiler = GrammarCompiler(tokenizer, num_ids=len(tokenizer), end_ids={tokenizer.eos_token_id})
    matcher = compiler.new_matcher(FreeText((("a", Text("b")),)))
    for token_id in tokenizer("<think>x</think>\n<tool_call>\n", add_special_tokens=False)["input_ids"]:
        assert matcher.allowed()[token_id]
        matcher.accept(token_id)
    assert not matcher.allowed()[tokenizer.convert_tokens_to_ids("<|im_start|>")]
    matcher.accept(tokenizer.convert_tokens_to_ids("a"))
    assert matcher.allowed().sum() == 1


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 20},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "maxItems": 2},
    },
    "required": ["name", "count"],
    "$defs": {"part": {"type": "object", "properties": {"kind": {"enum": ["a", "退"]}}, "required": ["kind"]}},
}


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ({"name": "退货", "count": 20}, True),
        ({"name": "x", "count": 3, "parts": [{"kind": "a"}, {"kind": "退"}]}, True),
        ({"name": "x", "count": 21}, False),
        ({"name": "too long", "count": 3}, False),
        ({"count": 3}, False),
        ({"name": "x", "count": 3, "more": 1}, False),
        ({"name": "x", "count": 3, "parts": [{"kind": "b"}]}, False),
    ],
)
def test_json_follows_its_schema_on_one_line(value, is_valid):
    constraint = JsonSchema.of(closed_schema(SCHEMA))
    assert accepts(constraint, json.dumps(value, ensure_ascii=False)) is is_valid
    assert not accepts(constraint, json.dumps(value, ensure_ascii=False, indent=1))


def test_closing_a_schema_leaves_open_objects_and_values_alone():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": True}},
        "default": {"properties": {}},
    }
    closed = closed_schema(schema)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["a"]["additionalProperties"] is True
    assert closed["default"] == {"properties": {}}
    assert closed_schema({"type": "object"}) == {"type": "object"}


@pytest.mark.parametrize(
    "constraint",
    [
        Pattern("("),
        Pattern("a(?=b)"),
        Pattern(r"[^\s\S]"),
        JsonSchema.of({"type": "banana"}),
        JsonSchema.of({"type": "integer", "minimum": 5, "maximum": 3}),
        JsonSchema.of({"$ref": "#/$defs/none"}),
        JsonSchema.of({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    ],
)
def test_what_no_answer_can_match_is_refused_with_the_reason(constraint):
    with pytest.raises(ConstraintError, match=r"cannot be used|can match"):
        COMPILER.new_matcher(constraint)


def test_a_schema_that_is_no_json_is_refused():
    with pytest.raises(ConstraintError, match="is no JSON"):
        JsonSchema.of({"type": object()})


@pytest.mark.parametrize("choices", [[], "yes", ["yes", ""], ["yes", 1], None])
def test_choices_have_to_be_texts(choices):
    with pytest.raises(ConstraintError, match="choices must be a list of texts"):
        choices_constraint(choices)


def test_tokens_outside_the_tokenizer_are_never_allowed():
    assert not COMPILER.new_matcher(Pattern(".*")).allowed()[len(TOKENIZER) :].any()


def test_a_tokenizer_of_an_unknown_kind_is_a_typed_error():
    class Slow:
        eos_token_id = 1

    with pytest.raises(UnsupportedOptionError, match="cannot be constrained"):
        GrammarCompiler(Slow(), num_ids=10, end_ids={1}).new_matcher(Text("a"))
