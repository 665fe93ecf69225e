"""Documents by their words."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.keyword import KeywordIndex, split_words


def _found(texts, query, k=10):
    return [place for place, _ in KeywordIndex(texts).search(query, k)]


def test_words_are_found_by_their_stem_in_any_case():
    assert _found(["Returned parcels", "blue sky"], "RETURNING a parcel") == [0]


def test_chinese_is_found_by_its_words():
    assert _found(["我们接受七天内退货", "包裹在路上"], "退货要多久") == [0]
    assert _found(["我们接受七天内退货", "包裹在路上"], "包裹到了吗") == [1]


def test_chinese_beside_latin_letters_and_digits_is_cut_too():
    assert set(split_words("用iPhone15手机7天退货")) >= {"iphone15", "手机", "7", "天", "退货"}
    assert _found(["买了iPhone手机", "天空"], "手机") == [0]


def test_rarer_words_count_more():
    texts = ["the red shoe", "the red hat", "the red bag", "the blue shoe"]
    assert _found(texts, "blue red")[0] == 3


def test_no_shared_word_finds_nothing():
    assert _found(["red shoe", "blue sky"], "green") == []
    assert _found(["red shoe"], "") == _found(["red shoe"], "?! ...") == []


def test_no_texts_and_texts_without_words_find_nothing():
    assert _found([], "shoe") == _found(["", "..."], "shoe") == []
    assert _found(["", "a shoe", "..."], "shoe") == [1]


def test_at_most_k_are_found_best_first():
    found = KeywordIndex(["shoe", "shoe shoe hat", "hat", "shoe shoe shoe"]).search("shoe", 2)
    assert len(found) == 2
    assert found[0][1] >= found[1][1] > 0


@given(
    st.lists(st.lists(st.sampled_from(["red", "blue", "shoe", "sky", "退货"]), max_size=4).map(" ".join), max_size=6),
    st.lists(st.sampled_from(["red", "shoe", "退货", "never"]), max_size=3).map(" ".join),
)
def test_exactly_the_texts_that_share_a_word_are_found(texts, query):
    words = set(query.split())
    assert set(_found(texts, query)) == {place for place, text in enumerate(texts) if words & set(text.split())}


def test_the_share_of_words_counts_rare_ones_more_and_lies_between_zero_and_one():
    index = KeywordIndex(["red shoe", "red hat", "red shoe hat sky"])
    shares = index.word_shares("red sky", [0, 1, 2])
    assert shares[2] == pytest.approx(1.0)
    assert 0 < shares[0] == shares[1] < 0.5
    assert index.word_shares("", [0]) == [0.0]
    assert index.word_shares("never", [0, 1]) == [0.0, 0.0]


def test_an_index_is_built_without_a_word_in_the_log(caplog):
    KeywordIndex(["red shoe", "退货"]).search("退货", 1)
    assert [record for record in caplog.records if record.levelno < logging.WARNING] == []


def test_threads_do_not_mix_their_stems():
    texts = {"running shoes": ["run", "shoe"], "returned parcels": ["return", "parcel"], "退货政策": ["退货", "政策"]}
    wrong = []

    def cut(text):
        wrong.extend(text for _ in range(50) if list(split_words(text)) != texts[text])

    threads = [threading.Thread(target=cut, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
