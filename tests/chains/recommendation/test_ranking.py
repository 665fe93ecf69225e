import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.recommendation.explanation import PHRASES, ReasonFacts, ReasonPhrases, explain_item
from chains.recommendation.features import FEATURE_NAMES
from chains.recommendation.ranking import PART_FEATURES, RankingOptions, combine_scores, group_parts, select_diverse
from retrievers.interactions import INTEREST_KINDS, EventKind
from retrievers.metrics import intra_list_distance


def make_unit(rows, seed, dim=5):
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 25), st.floats(0, 1), st.integers(0, 50))
def test_selection_keeps_each_row_at_most_once_and_starts_with_the_best(rows, k, diversity, seed):
    scores = np.random.default_rng(seed).standard_normal(rows)
    chosen = select_diverse(scores, make_unit(rows, seed), k=k, diversity=diversity)
    assert len(chosen) == len(set(chosen)) == min(k, rows)
    if rows:
        assert chosen[0] == int(np.argmax(scores))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 50))
def test_no_diversity_is_the_order_of_scores(rows, seed):
    scores = np.random.default_rng(seed).integers(0, 4, rows).astype(float)  # with ties
    chosen = select_diverse(scores, make_unit(rows, seed), k=rows, diversity=0.0)
    assert chosen == np.argsort(-scores, kind="stable").tolist()


@settings(deadline=None)
@given(st.integers(2, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 50))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(rows, k, diversity, seed):
    scores, vectors = np.random.default_rng(seed).standard_normal(rows), make_unit(rows, seed)
    longer = select_diverse(scores, vectors, k=rows, diversity=diversity)
    assert select_diverse(scores, vectors, k=k, diversity=diversity) == longer[: min(k, rows)]


def test_diversity_spreads_lists_over_many_draws():
    def mean_distance(diversity: float) -> float:
        distances = []
        for seed in range(20):
            vectors, scores = make_unit(30, seed), np.random.default_rng(seed).standard_normal(30)
            distances.append(intra_list_distance(vectors[select_diverse(scores, vectors, k=5, diversity=diversity)]))
        return float(np.mean(distances))

    assert mean_distance(0.0) < mean_distance(0.3) < mean_distance(0.9)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 25), st.floats(0, 1), st.integers(0, 50))
def test_a_determinant_keeps_each_row_at_most_once_starts_with_the_best_and_begins_longer_lists(rows, k, share, seed):
    scores, vectors = np.random.default_rng(seed).standard_normal(rows), make_unit(rows, seed)
    chosen = select_diverse(scores, vectors, k=k, diversity=share, method="dpp")
    assert len(chosen) == len(set(chosen)) == min(k, rows)
    longer = select_diverse(scores, vectors, k=rows + 1, diversity=share, method="dpp")
    assert chosen == longer[: len(chosen)]
    if rows and share < 1:
        assert chosen[0] == int(np.argmax(scores))


def test_a_determinant_of_many_equal_vectors_falls_back_to_the_scores():
    scores, vectors = np.array([1.0, 3.0, 2.0]), np.ones((3, 1))
    assert select_diverse(scores, vectors, k=3, diversity=0.5, method="dpp") == [1, 2, 0]


def test_a_determinant_spreads_lists_too():
    def mean_distance(share: float) -> float:
        distances = []
        for seed in range(20):
            vectors, scores = make_unit(30, seed), np.random.default_rng(seed).standard_normal(30)
            chosen = select_diverse(scores, vectors, k=5, diversity=share, method="dpp")
            distances.append(intra_list_distance(vectors[chosen]))
        return float(np.mean(distances))

    assert mean_distance(0.0) < mean_distance(0.1) < mean_distance(0.5)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.integers(0, 50))
def test_a_quota_holds_as_long_as_other_tags_are_left(rows, k, num_tags, most, seed):
    rng = np.random.default_rng(seed)
    tags = [[f"t{tag}"] for tag in rng.integers(num_tags, size=rows)]
    chosen = select_diverse(
        rng.standard_normal(rows), make_unit(rows, seed), k=k, diversity=0.5, tags=tags, max_per_tag=most
    )
    assert len(chosen) == min(k, rows)
    there = {tag: sum([tag] == of_row for of_row in tags) for (tag,) in tags}
    within = sum(min(count, most) for count in there.values())  # places that can be given without breaking the quota
    taken = [tags[row][0] for row in chosen[:within]]
    assert all(taken.count(tag) <= most for tag in there)


def test_a_discount_takes_most_from_the_most_popular():
    features = np.zeros((2, len(FEATURE_NAMES)))
    features[1, FEATURE_NAMES.index("popularity")] = 1.0
    options = RankingOptions(popularity_discount=0.5)
    assert combine_scores(np.zeros(2), features, options).tolist() == [0.0, -0.5]
    assert group_parts(np.zeros_like(features), features, options)["popularity"].tolist() == [0.0, -0.5]


def test_every_feature_that_tells_items_apart_has_one_part():
    grouped = [name for names in PART_FEATURES.values() for name in names]
    assert sorted([*grouped, "history_size"]) == sorted(FEATURE_NAMES)


@pytest.mark.parametrize(
    ("option", "feature", "part"),
    [
        ("price_weight", "price_match", "price"),
        ("newness_weight", "newness", "newness"),
        ("popularity_weight", "trend", "popularity"),
    ],
)
def test_a_weight_moves_its_own_feature_only(option, feature, part):
    features = np.zeros((2, len(FEATURE_NAMES)))
    features[1, FEATURE_NAMES.index(feature)] = 1.0
    options = RankingOptions(**{option: 2.0})
    assert combine_scores(np.zeros(2), features, options).tolist() == [0.0, 2.0]
    parts = group_parts(np.zeros_like(features), features, options)
    assert {name: values.tolist() for name, values in parts.items() if values.any()} == {part: [0.0, 2.0]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"diversity": -0.1},
        {"diversity": 1.1},
        {"pool_size": 0},
        {"max_per_tag": 0},
        {"method": "best"},
        {"popularity_discount": -1.0},
        {"popularity_discount": float("nan")},
    ],
)
def test_ranking_options_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        RankingOptions(**wrong)


FACTS = ReasonFacts(
    similar_title="Blue kettle",
    similar_kind=EventKind.SHARE,
    shared_tag="kitchen",
    companion_title="Red pan",
    trending_days=7,
    is_new=True,
    is_usual_price=True,
)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("taste", "Because you shared Blue kettle."),
        ("collaborative", "Often chosen by people who chose Red pan."),
        ("popularity", "Popular this week."),
        ("newness", "New."),
        ("price", "Close to your usual price."),
    ],
)
def test_the_strongest_part_gives_the_reason(part, sentence):
    parts = dict.fromkeys(PART_FEATURES, -1.0)
    assert explain_item(parts | {part: 1.0}, FACTS) == sentence


def test_a_reason_without_its_fact_is_not_given():
    parts = {"taste": 3.0, "collaborative": 2.0, "popularity": 1.0, "newness": 0.5, "price": 0.2}
    assert explain_item(parts, ReasonFacts(is_usual_price=True)) == "Close to your usual price."
    assert explain_item(parts, ReasonFacts()) == "A pick from the rest of the catalogue."
    assert explain_item(parts, ReasonFacts(shared_tag="kitchen")) == "Because of your interest in kitchen."


def test_a_part_that_speaks_against_the_item_is_no_reason():
    assert explain_item(dict.fromkeys(PART_FEATURES, -0.1), FACTS) == "A pick from the rest of the catalogue."


def test_two_short_reasons_are_joined_strongest_first():
    assert explain_item({"popularity": 2.0, "newness": 1.0}, FACTS) == "Popular this week, and new."
    facts = ReasonFacts(trending_days=30)
    assert explain_item({"popularity": 2.0}, facts) == "Popular in the last 30 days."


def test_phrases_can_speak_another_language():
    phrases = ReasonPhrases(new="新品", full_stop="。")
    assert explain_item({"newness": 1.0}, FACTS, phrases=phrases) == "新品。"


@pytest.mark.parametrize("language", PHRASES)
def test_every_kind_of_event_has_a_phrase(language):
    assert set(PHRASES[language].similar) == set(INTEREST_KINDS)


def test_a_reason_in_chinese_has_no_word_of_english():
    facts = ReasonFacts(
        similar_title="紫砂壶", similar_kind=EventKind.BUY, companion_title="茶盘", trending_days=7, is_new=True
    )
    for part in PART_FEATURES:
        sentence = explain_item({part: 1.0}, facts, phrases=PHRASES["zh"])
        assert sentence.isascii() is False
        assert not re.search("[A-Za-z]", sentence)
    both = explain_item({"popularity": 2.0, "newness": 1.0}, facts, phrases=PHRASES["zh"])
    assert both == "本周热门，而且新上架。"
