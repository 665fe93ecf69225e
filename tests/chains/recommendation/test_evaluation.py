import math

import numpy as np
import pytest

from chains.errors import ChainInputError
from chains.recommendation import (
    EvaluationOptions,
    RankByScore,
    RankingOptions,
    RecommendationOptions,
    build_baselines,
    embed_catalogue,
    evaluate_recommender,
    rank_with_chain,
)
from retrievers.interactions import EventKind, Interactions
from tests.chains.recommendation.worlds import (
    EMBEDDINGS,
    make_catalogue,
    make_chain,
    make_event,
    make_interactions,
    train_model,
)

CATALOGUE = make_catalogue()
VECTORS = embed_catalogue(CATALOGUE, EMBEDDINGS)


def make_part(*events):
    return Interactions(events, items=list(CATALOGUE))


TRAIN = make_part(make_event("u", "garden0"), make_event("v", "music0"))
TEST = make_part(
    make_event("u", "garden1", day=1),
    make_event("u", "garden0", day=1),  # used before, so not to be foreseen
    make_event("v", "music1", "view", day=1),  # too weak to count
    make_event("new", "kitchen1", day=1),
)


def test_figures_by_hand():
    lists = {"u": ["music5", "garden1"], "new": ["music5", "music6"]}
    report = evaluate_recommender(
        lambda user, k: lists[user][:k], train=TRAIN, test=TEST, vectors=VECTORS, options=EvaluationOptions(k=2)
    )
    assert report.num_users == 2
    assert report.num_cold_users == 1
    assert report.recall == 0.5
    assert report.ndcg == pytest.approx((1 / np.log2(3)) / 2)
    assert report.ndcg_by_user["new"] == 0
    assert report.coverage == 3 / len(CATALOGUE)
    assert report.novelty == pytest.approx(np.log2(3))  # nobody of the two users knows any of them
    assert report.ndcg_low <= report.ndcg <= report.ndcg_high


def test_cold_users_are_counted_even_when_left_out():
    options = EvaluationOptions(warm_only=True)
    report = evaluate_recommender(lambda _u, _k: ["garden1"], train=TRAIN, test=TEST, vectors=VECTORS, options=options)
    assert (report.num_users, report.num_cold_users, report.recall) == (1, 1, 1.0)


def test_weaker_events_count_if_asked_for():
    options = EvaluationOptions(relevant_kinds=frozenset(EventKind))
    report = evaluate_recommender(lambda _u, _k: ["music1"], train=TRAIN, test=TEST, vectors=VECTORS, options=options)
    assert report.num_users == 3


@pytest.mark.parametrize("ranked", [["garden0"], ["garden1", "garden1"], list(CATALOGUE)[1:13]])
def test_lists_with_used_repeated_or_too_many_items_are_refused(ranked):
    with pytest.raises(ChainInputError, match="the list for 'u'"):
        evaluate_recommender(lambda _u, _k: ranked, train=TRAIN, test=TEST, vectors=VECTORS)


def test_nothing_to_foresee_is_refused():
    with pytest.raises(ChainInputError, match="no user"):
        evaluate_recommender(lambda _u, _k: [], train=TRAIN, test=TRAIN, vectors=VECTORS)


def make_constant_rank(train):
    return RankByScore(score_items=lambda _history: np.zeros(len(CATALOGUE)), train=train)


def test_the_order_of_the_catalogue_decides_nothing_between_equal_items():
    first, *_, last = CATALOGUE
    users = [f"new{number}" for number in range(200)]
    report = {
        item: evaluate_recommender(
            make_constant_rank(TRAIN),
            train=TRAIN,
            test=make_part(*(make_event(user, item, day=1) for user in users)),
            vectors=VECTORS,
        )
        for item in (first, last)
    }
    share = 10 / len(CATALOGUE)  # a list of ten at random
    assert report[first].recall == pytest.approx(share, abs=0.05)
    assert report[last].recall == pytest.approx(share, abs=0.05)


def test_ties_fall_the_same_way_each_time_and_another_way_with_another_seed():
    rank = make_constant_rank(TRAIN)
    assert rank("u", 10) == rank("u", 10)
    assert rank("u", 10) != rank("v", 10)
    assert rank("u", 10) != rank.shuffled(1)("u", 10)


def test_ours_beats_popularity_and_is_not_below_item_item_on_the_known_groups():
    train, test = make_interactions().split_by_time(0.75)
    options = RecommendationOptions(ranking=RankingOptions(diversity=0.0), look_again_days=math.inf)
    chain = make_chain(train_model(train), interactions=train, clock=lambda: train.now, options=options)
    methods = build_baselines(catalogue=CATALOGUE, vectors=VECTORS, train=train, ridge=5.0)
    methods["ours"] = rank_with_chain(chain)
    reports = {
        name: evaluate_recommender(rank, train=train, test=test, vectors=VECTORS, options=EvaluationOptions(k=5))
        for name, rank in methods.items()
    }
    assert reports["ours"].ndcg > 1.5 * reports["popularity"].ndcg
    assert reports["ours"].ndcg > 0.9 * reports["item-item (EASE)"].ndcg
    assert {report.num_users for report in reports.values()} == {reports["ours"].num_users}
