"""Noisy copies: always the same, never empty, and never a changed number, address or placeholder."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import OptionValueError
from llms.finetuning.data.augmentation import augment_texts
from llms.finetuning.data.examples import LabelledText, MultiLabelText
from tests.waiting import cpu_seconds

_ENGLISH = ("where", "is", "the", "order", "number", "please", "not", "couldn't", "naïve")
_CHINESE = ("我的订单", "没有", "还没有到", "到")
_KEPT = ("1234", "v2.0", "3½", "{name}", "https://a.example/page", "me@example.org")
_words = st.sampled_from(_ENGLISH + _CHINESE + _KEPT)
_sentences = st.lists(_words, max_size=12).map(" ".join)
_any = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
_FIXED = re.compile(r"\{name\}|https://a\.example/page|me@example\.org")


def _copies(text, copies=3, seed=0):
    return [row.text for row in augment_texts([LabelledText(text, "x")], copies=copies, seed=seed)]


@given(_sentences | _any, st.integers(0, 3))
def test_the_same_seed_and_text_give_the_same_copies_whatever_the_other_rows_are(text, seed):
    alone = _copies(text, seed=seed)
    rows = [LabelledText("another text", "y"), LabelledText(text, "x")]
    assert [row.text for row in augment_texts(rows, copies=3, seed=seed) if row.label == "x"] == alone


@given(_sentences | _any)
def test_copies_are_new_and_never_empty(text):
    copies = _copies(text)
    assert len(set(copies)) == len(copies)
    assert text not in copies
    assert all(copy.strip() for copy in copies)


@given(_sentences | _any)
def test_numbers_are_kept_character_by_character(text):
    for copy in _copies(text):
        assert [c for c in copy if c.isnumeric()] == [c for c in text if c.isnumeric()]


@given(_sentences)
def test_addresses_placeholders_and_negations_are_kept(text):
    for copy in _copies(text):
        assert _FIXED.findall(copy) == _FIXED.findall(text)
        assert re.findall(r"\bnot\b|没", copy) == re.findall(r"\bnot\b|没", text)


def test_a_text_loses_at_most_one_little_word_and_short_texts_none():
    text = "please tell me where the parcel stays today"
    assert {len(copy.split()) for seed in range(20) for copy in _copies(text, seed=seed)} == {7, 8}
    assert all({"please", "tell", "where", "parcel"} & set(copy.split()) for copy in _copies(text, copies=20))
    assert {len(copy.split()) for seed in range(20) for copy in _copies("where is parcel", seed=seed)} == {3}


def test_chinese_texts_lose_a_character():
    copies = _copies("我的订单1234还没有到")
    assert len(copies) == 3
    assert all(len(copy) == len("我的订单1234还没有到") - 1 for copy in copies)
    assert all("1234" in copy and "没" in copy for copy in copies)


def test_copies_stay_with_what_belongs_to_their_text():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    (copy,) = augment_texts([LabelledText("where is my order", "x", group="g", time=when, line=7)], seed=0)
    assert (copy.label, copy.group, copy.time, copy.line) == ("x", "g", when, 7)
    (copy,) = augment_texts([MultiLabelText("where is my order", ("x", "y"))], seed=0)
    assert copy.labels == ("x", "y")


def test_texts_that_leave_no_room_and_no_copies_give_none():
    assert _copies("42") == []
    assert _copies("where is my order", copies=0) == []
    with pytest.raises(OptionValueError, match="copies"):
        _copies("where", copies=-1)


@pytest.mark.parametrize("text", ["a" * 20_000, "屋" * 20_000, "a b@" * 5000, "{" * 20_000, "1a" * 10_000])
def test_the_longest_texts_take_no_longer_than_they_must(text):
    assert cpu_seconds(lambda: _copies(text, copies=1)) < 10


def test_another_seed_gives_other_copies():
    text = "please tell me where the parcel stays today"
    assert _copies(text, seed=0) != _copies(text, seed=1)
