"""Reciprocal rank fusion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.fusion import fuse_rankings

RANKINGS = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=4)


@given(RANKINGS)
def test_fusion_keeps_every_id_once(rankings):
    fused = fuse_rankings(rankings)
    assert sorted(fused) == sorted({doc_id for ranking in rankings for doc_id in ranking})


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.integers(min_value=1, max_value=4))
def test_rankings_that_agree_stay_as_they_are(ranking, count):
    assert fuse_rankings([ranking] * count) == ranking


@given(RANKINGS, st.data())
def test_an_id_that_rises_in_one_ranking_never_falls_in_the_fused_one(rankings, data):
    long = [number for number, ranking in enumerate(rankings) if len(ranking) > 1]
    if not long:
        return
    number = data.draw(st.sampled_from(long))
    place = data.draw(st.integers(min_value=1, max_value=len(rankings[number]) - 1))
    risen = [list(ranking) for ranking in rankings]
    risen[number][place - 1 : place + 1] = reversed(risen[number][place - 1 : place + 1])
    doc_id = rankings[number][place]
    assert _num_strictly_above(risen, doc_id) <= _num_strictly_above(rankings, doc_id)


def _num_strictly_above(rankings, doc_id):
    """Ids with a larger sum than `doc_id`, ties left out, worked out from the formula."""
    score = {}
    for ranking in rankings:
        for place, other in enumerate(ranking, start=1):
            score[other] = score.get(other, 0.0) + 1 / (60 + place)
    return sum(value > score[doc_id] + 1e-12 for value in score.values())


@given(RANKINGS)
def test_the_order_is_that_of_the_formula(rankings):
    fused = fuse_rankings(rankings)
    assert [_num_strictly_above(rankings, doc_id) for doc_id in fused] == sorted(
        _num_strictly_above(rankings, doc_id) for doc_id in fused
    )


@given(RANKINGS)
def test_equal_weights_change_nothing(rankings):
    assert fuse_rankings(rankings, weights=[1.0] * len(rankings)) == fuse_rankings(rankings)


def test_a_heavier_ranking_wins():
    assert fuse_rankings([["a", "b"], ["b", "a"]], weights=[1, 2]) == ["b", "a"]


def test_ties_keep_the_order_in_which_the_ids_were_first_seen():
    assert fuse_rankings([["b"], ["a"]]) == ["b", "a"]


def test_nothing_fused_is_nothing():
    assert fuse_rankings([]) == fuse_rankings([[], []]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": 0}, "damping"),
        ({"damping": float("nan")}, "damping"),
        ({"weights": [1]}, "1 weights for 2"),
        ({"weights": [1, 0]}, "positive"),
        ({"weights": [1, float("nan")]}, "positive"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fuse_rankings([["a"], ["b"]], **options)


def test_an_id_that_comes_twice_in_one_ranking_is_refused():
    with pytest.raises(ValueError, match="'a' comes twice"):
        fuse_rankings([["a", "b", "a"]])


def test_of_equal_ids_the_one_seen_first_comes_first():
    assert fuse_rankings([["a", "c"], ["b", "d"]]) == ["a", "b", "c", "d"]
    assert fuse_rankings([["d", "b"], ["c", "a"]]) == ["d", "c", "b", "a"]
