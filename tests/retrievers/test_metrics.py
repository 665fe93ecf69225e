import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.metrics import (
    catalogue_coverage,
    hit_at_k,
    intra_list_distance,
    ndcg_at_k,
    novelty,
    recall_at_k,
    reciprocal_rank,
)

RANKED = st.lists(st.sampled_from("abcdefgh"), unique=True)
RELEVANT = st.sets(st.sampled_from("abcdefgh"), min_size=1)


@settings(deadline=None)  # the machine may be busy
@given(RANKED, RELEVANT, st.integers(1, 10))
def test_every_measure_lies_between_0_and_1(ranked, relevant, k):
    for measured in (
        recall_at_k(ranked, relevant, k),
        ndcg_at_k(ranked, relevant, k),
        hit_at_k(ranked, relevant, k),
        reciprocal_rank(ranked, relevant),
    ):
        assert 0 <= measured <= 1 + 1e-12


@settings(deadline=None)  # the machine may be busy
@given(RANKED, RELEVANT, st.integers(1, 10))
def test_recall_never_falls_with_a_longer_list(ranked, relevant, k):
    assert recall_at_k(ranked, relevant, k) <= recall_at_k(ranked, relevant, k + 1)


@settings(deadline=None)  # the machine may be busy
@given(RELEVANT, st.integers(1, 10))
def test_the_best_list_scores_1(relevant, k):
    assert ndcg_at_k(sorted(relevant), relevant, k) == pytest.approx(1)
    assert reciprocal_rank(sorted(relevant), relevant) == 1


def test_ndcg_by_hand():
    ranked = ["a", "x", "b"]
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(ranked, {"a", "b", "c"}, 3) == pytest.approx((1 + 1 / 2) / best)
    assert ndcg_at_k(ranked, {"a", "b", "c"}, 1) == 1


def test_graded_ndcg_prefers_the_larger_gain():
    gains = {"a": 3.0, "b": 1.0}
    assert ndcg_at_k(["a", "b"], gains, 2) == pytest.approx(1)
    assert ndcg_at_k(["b", "a"], gains, 2) == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    with pytest.raises(ValueError, match="gain"):
        ndcg_at_k(["a"], {"a": 0.0}, 2)


def test_a_repeated_id_earns_once_and_keeps_its_places():
    assert ndcg_at_k(["a", "a", "b"], {"a", "b"}, 3) == ndcg_at_k(["a", "x", "b"], {"a", "b"}, 3)
    assert recall_at_k(["a", "a"], {"a", "b"}, 2) == 0.5


def test_an_empty_ranking_scores_0():
    assert (
        recall_at_k([], {"a"}, 3)
        == ndcg_at_k([], {"a"}, 3)
        == reciprocal_rank([], {"a"})
        == hit_at_k([], {"a"}, 1)
        == 0
    )


@pytest.mark.parametrize("measure", [recall_at_k, ndcg_at_k, hit_at_k])
def test_nothing_relevant_or_no_places_is_refused(measure):
    with pytest.raises(ValueError, match="nothing is relevant"):
        measure(["a"], set(), 3)
    with pytest.raises(ValueError, match="k must"):
        measure(["a"], {"a"}, 0)


def test_reciprocal_rank_without_anything_relevant_is_refused():
    with pytest.raises(ValueError, match="nothing is relevant"):
        reciprocal_rank(["a"], [])


def test_coverage_counts_each_item_once():
    assert catalogue_coverage([["a"], ["a", "b"], []], 8) == 0.25
    assert catalogue_coverage([], 8) == 0
    with pytest.raises(ValueError, match="num_items"):
        catalogue_coverage([["a", "b"]], 1)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(2, 6), st.integers(0, 99))
def test_distance_equals_the_mean_over_pairs(num_items, seed):
    vectors = np.random.default_rng(seed).standard_normal((num_items, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(num_items) for j in range(i)]
    assert intra_list_distance(vectors) == pytest.approx(np.mean(pairs))


def test_distance_of_short_lists_and_zero_vectors():
    assert intra_list_distance(np.ones((1, 3))) == 0
    assert intra_list_distance(np.empty((0, 3))) == 0
    assert intra_list_distance(np.array([[0.0, 0.0], [1.0, 0.0]])) == 1


def test_rare_items_are_more_novel():
    popularity = {"known": 9, "rare": 1}
    assert novelty(["known"], popularity, 9) == 0
    assert novelty(["unknown"], popularity, 9) > novelty(["rare"], popularity, 9) > 0
    assert novelty([], popularity, 9) == 0
    assert novelty(["a"], {}, 1) == 1
    with pytest.raises(ValueError, match="num_users"):
        novelty(["known"], popularity, 8)
