"""Checks, sentences, scripts, invisible characters, strict JSON and CSV."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import InputTextError, StrictJsonError
from llms.texts import (
    MAX_TEXT_CHARS,
    check_text,
    is_chinese,
    parse_json,
    split_sentences,
    visible_text,
)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_of_whole_characters_passes_unchanged(text):
    assert check_text(text) is text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\x00b", "NUL character at position 1"),
        ("退\ud800", "lone surrogate at position 1"),
        ("a" * (MAX_TEXT_CHARS + 1), "100,001 characters"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
        (["a"], "got list"),
    ],
)
def test_a_text_no_tokenizer_can_take_is_refused_with_the_reason(text, reason):
    with pytest.raises(InputTextError, match=reason):
        check_text(text)


def test_the_limit_itself_is_allowed():
    assert check_text("a" * 5, max_chars=5) == "aaaaa"
    with pytest.raises(InputTextError, match="6 characters, at most 5"):
        check_text("a" * 6, max_chars=5)


def test_chinese_is_told_from_texts_with_a_few_chinese_words():
    texts = ["我的卡", "我的 card 丢了吗", "my 卡 is lost", "", "123"]
    assert [is_chinese(text, min_share=0.5) for text in texts] == [True, True, False, False, False]


def test_a_semicolon_ends_a_sentence_only_where_that_is_wanted():
    text = "运费呢？免费；好"
    assert _sentences(text) == ["运费呢？", "免费；好"]
    assert _sentences(text, at_semicolons=True) == ["运费呢？", "免费；", "好"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("See no. 5 below. The answer is no. Try again.", ["See no. 5 below.", "The answer is no.", "Try again."]),
        ("Ask J. Voss. He knows.", ["Ask J. Voss.", "He knows."]),
        ("Cables, plugs etc. are free.", ["Cables, plugs etc. are free."]),
    ],
)
def test_a_full_stop_ends_no_sentence_after_an_abbreviation(text, sentences):
    assert _sentences(text) == sentences


def test_a_joiner_stays_only_where_the_text_is_shown():
    assert visible_text("a\u200db\u202e\x07", keep_joiners=True) == "a\u200db"
    assert visible_text("a\u200db\u202e\x07") == "ab"


@pytest.mark.parametrize(
    ("text", "fault"),
    [('{"a": 1, "a": 2}', "key"), ("[NaN]", "constant"), ("[-Infinity]", "constant"), ("1e999", "number")],
)
def test_json_that_programs_read_differently_is_refused(text, fault):
    with pytest.raises(StrictJsonError) as raised:
        parse_json(text)
    assert raised.value.fault == fault


def _sentences(text, **options):
    return [text[start:end] for start, end in split_sentences(text, (0, len(text)), **options)]
