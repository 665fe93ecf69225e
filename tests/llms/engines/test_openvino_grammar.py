"""Number patterns match exactly the numbers within their bounds; grammars say what constraints say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.engines.constraints import JsonSchema, OneOf, Pattern, Text
from llms.engines.openvino_backend.ebnf import integer_pattern, number_pattern
from llms.engines.openvino_backend.grammar import to_ebnf
from llms.errors import ConstraintError

WHOLE = st.integers(-(10**6), 10**6)


@given(WHOLE, WHOLE, st.lists(WHOLE, max_size=30))
def test_a_whole_number_matches_if_it_lies_within_the_bounds(one, other, numbers):
    low, high = sorted((one, other))
    pattern = re.compile(integer_pattern(low, high))
    for number in (*numbers, low - 1, low, low + 1, high - 1, high, high + 1, 0):
        assert bool(pattern.fullmatch(str(number))) == (low <= number <= high)


@given(st.integers(-300, 300), st.integers(1, 200), st.booleans(), st.booleans(), st.integers(-4000, 4000))
def test_a_number_matches_if_it_lies_within_the_bounds(low, size, excludes_low, excludes_high, eighths):
    high = low + size
    pattern = number_pattern(low, high, excludes_lowest=excludes_low, excludes_highest=excludes_high)
    for number in (eighths / 8, low, high, low + 0.125, high - 0.125):
        is_above = low < number if excludes_low else low <= number
        is_below = number < high if excludes_high else number <= high
        assert bool(re.fullmatch(pattern, f"{number:g}")) == (is_above and is_below)


@pytest.mark.parametrize("number", ["0", "-1", "12.50", "999999999999999"])
def test_a_number_without_bounds_has_up_to_fifteen_digits(number):
    assert re.fullmatch(number_pattern(None, None), number)
    assert not re.fullmatch(number_pattern(None, None), "1" * 16)


def test_bounds_without_a_number_between_are_refused():
    with pytest.raises(ValueError, match="no whole number is at least 5 and at most 3"):
        integer_pattern(5, 3)
    with pytest.raises(ValueError, match="no number lies between 1 and 1"):
        number_pattern(1, 1, excludes_lowest=True)


def test_equal_constraints_have_equal_grammars():
    assert to_ebnf(Pattern("^a$")) == to_ebnf(Text("a")) == 'root ::= "a"'
    assert to_ebnf(OneOf((Text("a"), Text("a")))) == 'root ::= "a"'


def test_a_schema_may_hold_itself():
    node = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "json_" in to_ebnf(JsonSchema.of(node))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array", "uniqueItems": True}, "keyword 'uniqueItems' cannot be checked"),
        ({"type": "string", "minimum": 1}, "keyword 'minimum' means nothing for type string"),
        ({"type": "number", "minimum": 0.5}, "'minimum' must be a whole number here, got 0.5"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "pattern, format and length cannot be checked together"),
        ({"type": "string", "minLength": 5, "maxLength": 3}, "at least 5 and at most 3 cannot both hold"),
        ({"type": "string", "minLength": -1}, "'minLength' must be a whole number of at least 0"),
        ({"type": "object", "required": ["a"]}, "'a' is required but not described"),
        ({"anyOf": [{"type": "null"}], "minimum": 3}, "'anyOf' together with 'minimum'"),
        ({"allOf": [{}, {}]}, "'allOf' of several schemas"),
        ({"$ref": "http://x/y"}, "leads out of the schema"),
    ],
)
def test_what_cannot_be_checked_token_by_token_is_refused_by_name(schema, reason):
    with pytest.raises(ConstraintError, match=reason):
        to_ebnf(JsonSchema.of(schema))
