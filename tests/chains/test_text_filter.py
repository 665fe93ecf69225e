"""The text filter: private data of others, words of lists, labels of a classifier, in both directions."""

import pytest

from chains.errors import ChainInputError
from chains.text_filter import FilterFinding, TextFilter
from llms.fakes import FixedClassifier

RUDE = FixedClassifier({"idiot": "offensive", "fool": "offensive"})


def test_private_data_may_be_told_to_those_who_told_it_only():
    text_filter = TextFilter(private_kinds=["card", "phone"])
    text = "Your card 4111 1111 1111 1111 is charged."
    assert text_filter.find_outgoing(text, known="") == FilterFinding("private_data", "card")
    assert text_filter.find_outgoing(text, known="4111-1111-1111-1111?") is None
    assert text_filter.find_outgoing("Write to anna@example.com", known="") is None  # a kind that is not named
    assert text_filter.find_unwanted(text) is None  # approved by people


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("buy shares", "You should BUY  shares now."),
        ("套现", "可以帮您套现的"),
        ("ＶＩＰ", "a vip, too"),
        ("c++", "in C++ only"),
    ],
)
def test_phrases_of_lists_are_found_in_any_form(phrase, text):
    assert TextFilter(outgoing={"advice": [phrase]}).find_unwanted(text) == FilterFinding("list", "advice")


def test_a_phrase_within_a_longer_word_is_none():
    text_filter = TextFilter(incoming={"insults": ["ass"]})
    assert text_filter.find_incoming("What is the class of this pass?") is None
    assert text_filter.find_incoming("you ass!") == FilterFinding("list", "insults")


def test_lists_count_in_their_direction():
    text_filter = TextFilter(incoming={"harm": ["hurt myself"]}, outgoing={"advice": ["buy shares"]})
    assert text_filter.find_incoming("May I buy shares?") is None
    assert text_filter.find_unwanted("Did you hurt myself?") is None


def test_a_classifier_judges_both_directions_where_it_is_sure():
    text_filter = TextFilter(classifier=RUDE, labels=["offensive"])
    assert text_filter.find_incoming("You idiot") == FilterFinding("label", "offensive")
    assert text_filter.find_outgoing("You fool", known="") == FilterFinding("label", "offensive")
    assert text_filter.find_incoming("Where is my parcel?") is None


def test_what_cannot_work_is_refused():
    with pytest.raises(ChainInputError, match="no classifier"):
        TextFilter(labels=["offensive"])
    with pytest.raises(ChainInputError, match="empty phrase"):
        TextFilter(incoming={"insults": ["", "fool"]})
