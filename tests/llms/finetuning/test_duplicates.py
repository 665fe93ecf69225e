"""Equal and nearly equal texts: which count as the same, in every script, whatever their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.finetuning.data.duplicates import NearTextIndex
from llms.texts import text_key

_letters = st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "Z")), max_size=12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where's my CARD?!", "wheres my card"),
        ("Straße", "STRASSE"),
        ("ＡＢＣ１２３", "abc 123"),
        ("我的卡，丢了！", "我的卡丢了"),
        ("café", "cafe\u0301"),
    ],
)
def test_case_marks_and_width_make_no_difference(one, other):
    assert text_key(one) == text_key(other)


@pytest.mark.parametrize(("one", "other"), [("3.5", "35"), ("+1", "-1"), ("😀", "😡"), ("?", "!"), ("की", "के")])
def test_texts_that_say_different_things_are_different(one, other):
    assert text_key(one) != text_key(other)


@given(_letters)
def test_a_key_is_the_key_of_itself(text):
    assert text_key(text_key(text)) == text_key(text)


def test_near_twins_are_found_in_both_scripts_and_others_are_not():
    texts = ["How do I reset my password?", "How do I reset my passwords", "Where is my order?", "我的卡丢了怎么办呢"]
    texts.append("我的卡丢了怎么办")
    twins = NearTextIndex(texts).find_near_duplicates_within()
    assert [twin.twin if twin else None for twin in twins] == [texts[1], texts[0], None, texts[4], texts[3]]
    assert all(0.8 <= twin.similarity < 1 for twin in twins if twin)


def test_other_texts_are_compared_with_those_of_the_index():
    index = NearTextIndex(["How do I reset my password?", "Where is my order?"], weighed_with=["something else"])
    twins = index.find_near_duplicates(["how do i reset  my password?", "something else", ""])
    assert [(twin.twin, twin.similarity) if twin else None for twin in twins] == [
        ("How do I reset my password?", 1.0),
        None,
        None,
    ]


@given(st.lists(st.text(alphabet="ab 卡", min_size=1, max_size=8), min_size=1, max_size=12, unique=True))
def test_the_similarity_is_that_of_every_pair_compared_by_itself(texts):
    index = NearTextIndex(texts)
    vectors = index._vectorizer.transform(texts).toarray()
    cosines = vectors @ vectors.T
    for place, twin in enumerate(index.find_near_duplicates_within(min_similarity=0.5)):
        best = max((cosines[place, other] for other in range(len(texts)) if other != place), default=0)
        assert (twin is not None) == (best >= 0.5 - 1e-6)
        assert twin is None or twin.similarity == pytest.approx(best, abs=1e-3)
