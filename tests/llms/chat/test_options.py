"""Generation options: checked when said, never ignored."""

import dataclasses
import math

import pytest

from llms.chat.generation import GenerationFields
from llms.errors import TuneChainError, UnknownOptionError
from llms.options import GenerationOptions, is_option, merge_options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, got 0"),
        ({"temperature": -0.1}, "temperature must be"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"top_p": 0}, "top_p must be in"),
        ({"top_p": 1.1}, "top_p must be in"),
        ({"top_k": 0}, "top_k must be a whole number"),
        ({"stop": ("a", "")}, "stop must be texts, none of them empty"),
    ],
)
def test_an_impossible_value_is_refused_at_construction_and_at_a_call(changes, message):
    with pytest.raises(ValueError, match=message):
        GenerationOptions(**changes)
    with pytest.raises(ValueError, match=message):
        merge_options(GenerationOptions(), changes)


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UnknownOptionError, match=r"'max_length'.*max_new_tokens") as caught:
        merge_options(GenerationOptions(), {"max_length": 5})
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, TuneChainError)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_new_tokens"])
def test_langchains_names_for_the_length_are_understood(name):
    assert merge_options(GenerationOptions(), {name: 7}).max_new_tokens == 7


def test_a_call_changes_only_what_it_names():
    options = GenerationOptions(temperature=0.5, seed=3, stop=("a",))
    merged = merge_options(options, {"top_k": 4})
    assert merged == dataclasses.replace(options, top_k=4)
    assert options.top_k is None


def test_stop_texts_of_a_call_replace_those_of_the_model():
    options = GenerationOptions(stop=("a",))
    assert merge_options(options, {}, stop=["b", "c"]).stop == ("b", "c")
    assert merge_options(options, {}, stop=None).stop == ("a",)
    assert merge_options(options, {}, stop=[]).stop == ()


def test_a_lone_stop_text_is_not_taken_apart():
    assert merge_options(GenerationOptions(), {}, stop="END").stop == ("END",)


def test_options_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GenerationOptions().temperature = 1.0


def test_a_chat_model_has_a_field_for_every_option_of_a_call():
    own = {name for name in GenerationFields.model_fields if is_option(name)}
    assert len(own) == len(dataclasses.fields(GenerationOptions)) - 1  # log probabilities are wanted by calls only
