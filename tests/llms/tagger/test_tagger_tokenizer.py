"""Words, tokens and windows: nothing of a text is lost, and every offset fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llms.tagger.tokenizer import TaggerTokenizer, plan_windows
from llms.texts.words import token_spans

NAMES = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def tokenizer(encoder_folder):
    source = AutoTokenizer.from_pretrained(encoder_folder)
    return TaggerTokenizer.take(source, max_tokens=10, input_names=NAMES, reads_shapes=True)


@given(st.text(max_size=40))
def test_words_stand_in_order_and_hold_all_but_white_space(text):
    words = token_spans(text)
    ends = [0, *(end for _, end in words)]
    assert all(end <= start < end_ for end, (start, end_) in zip(ends, words, strict=False))
    assert all(text[start:end].strip() for start, end in words)


def test_a_vowel_sign_belongs_to_its_word():
    assert token_spans("हिन्दी में") == [(0, 6), (7, 10)]


@given(st.integers(0, 400), st.integers(1, 60))
def test_windows_ask_about_every_token_once_and_read_no_more_than_they_may(num_tokens, size):
    windows = list(plan_windows(num_tokens, size=size))
    asked = [token for window in windows for token in range(window.own_begin, window.own_end)]
    assert asked == list(range(num_tokens))
    for window in windows:
        assert window.begin <= window.own_begin <= window.own_end <= window.end
        assert window.end - window.begin <= size


def test_a_token_is_asked_where_it_stands_furthest_inside():
    windows = list(plan_windows(40, size=16))
    for token in range(40):
        depths = [
            min(token - window.begin if window.begin else 99, window.end - 1 - token if window.end < 40 else 99)
            for window in windows
            if window.begin <= token < window.end
        ]
        (own,) = [window for window in windows if window.own_begin <= token < window.own_end]
        depth = min(token - own.begin if own.begin else 99, own.end - 1 - token if own.end < 40 else 99)
        assert depth >= max(depths) - 1


@given(st.text(alphabet="ab Z9.,'退货\u200b\n😀é", max_size=30))
def test_words_of_tokens_hold_the_characters_they_say(tokenizer, text):
    (prepared,) = tokenizer.prepare([text])
    words = prepared.words.tolist()
    assert [word[:2] for word in words] == sorted(word[:2] for word in words)
    firsts = [first for *_, first in words]
    assert firsts == sorted(set(firsts))
    assert set(map(tuple, prepared.words[:, :2].tolist())) <= set(token_spans(text))


def test_chinese_characters_are_words(tokenizer):
    (prepared,) = tokenizer.prepare(["退货 card"])
    assert prepared.words[:, :2].tolist() == [[0, 1], [1, 2], [3, 7]]


def test_an_emoji_ends_a_word(tokenizer):
    (prepared,) = tokenizer.prepare(["card😀😀"])
    assert prepared.words[:, :2].tolist() == [[0, 4], [4, 5], [5, 6]]


def test_a_control_token_in_a_text_is_text(tokenizer):
    (prepared,) = tokenizer.prepare(["my [SEP] card"])
    separators = set(tokenizer.before + tokenizer.after)
    assert not separators & set(prepared.ids.tolist())


def test_capitals_are_told_by_shapes(tokenizer):
    shapes = [tokenizer.prepare([text])[0].shapes.tolist() for text in ("card", "Card", "CARD", "cArd")]
    assert shapes == [[0], [1], [2], [3]]


def test_settings_bring_the_same_tokens_back(tokenizer):
    from tokenizers import Tokenizer

    copied = Tokenizer.from_str(tokenizer.tokenizer.to_str())
    again = TaggerTokenizer.from_settings(copied, tokenizer.settings)
    (ours,), (theirs,) = tokenizer.prepare(["my [SEP] card"]), again.prepare(["my [SEP] card"])
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert again.settings == tokenizer.settings


def test_words_that_share_a_token_become_one():
    from tokenizers import Tokenizer, models, pre_tokenizers

    inner = Tokenizer(models.WordLevel({"退货": 0, "▁x": 1, "?": 2}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    source = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?")
    inner_words = TaggerTokenizer.take(source, max_tokens=8, input_names=NAMES[:2]).prepare(["退货 x."])[0].words
    assert inner_words[:, :2].tolist() == [[0, 2], [3, 5]]
