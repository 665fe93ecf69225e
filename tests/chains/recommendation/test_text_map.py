"""What texts foretell of items that few have used, and how little they count for items that many have."""

from dataclasses import replace

import numpy as np
import pytest

from chains.recommendation import FeatureOptions, embed_catalogue, follow_catalogue, learn_item_models
from chains.recommendation.features import FEATURE_NAMES, BehaviourModels, FeatureTable
from chains.recommendation.text_map import blend_factors, learn_text_map, map_texts, smooth_vectors
from chains.recommendation.user_profile import build_profile
from llms.errors import OptionValueError
from retrievers import Interactions, Item, ItemCatalogue, ItemItemRecommender
from tests.chains.recommendation.worlds import (
    EMBEDDINGS,
    GROUPS,
    NOW,
    OPTIONS,
    make_catalogue,
    make_chain,
    make_events,
    train_model,
)

MIXED = replace(OPTIONS.features, text_users=5.0)


def make_vectors(num_items=40, num_groups=4, dim=12, seed=0):
    """Return unit vectors whose first numbers tell the group and whose others tell nothing, and the groups."""
    rng = np.random.default_rng(seed)
    groups = np.arange(num_items) % num_groups
    vectors = np.concatenate([np.eye(num_groups)[groups] * 3, rng.normal(size=(num_items, dim - num_groups))], axis=1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), groups


def test_an_item_that_nobody_used_is_foretold_to_be_where_its_group_is():
    vectors, groups = make_vectors(400)
    factors = np.eye(4, dtype=np.float32)[groups]
    num_users = np.where(np.arange(400) < 360, 30, 0)
    text_map = learn_text_map(vectors, factors * (num_users > 0)[:, np.newaxis], num_users, text_users=5.0)
    assert text_map.shape == (13, 4)
    foretold = map_texts(text_map, vectors)
    assert (foretold[360:].argmax(axis=1) == groups[360:]).all()


def test_words_that_say_nothing_of_who_uses_an_item_hardly_move_it():
    vectors, groups = make_vectors(400)
    text_map = learn_text_map(vectors, np.eye(4, dtype=np.float32)[groups], np.full(400, 30), text_users=5.0)
    empty, telling = np.zeros((2, 12), dtype=np.float32)
    empty[8], telling[1] = 0.5, 0.5
    places = map_texts(text_map, np.stack([np.zeros(12, dtype=np.float32), empty, telling]))
    assert np.abs(places[1] - places[0]).max() < 0.2 * np.abs(places[2] - places[0]).max()


def test_users_take_the_place_of_what_a_text_foretold():
    factors, foretold = np.full((4, 2), 1.0, dtype=np.float32), np.zeros((4, 2), dtype=np.float32)
    factors[3] = 0.0  # used since the factors were learnt, which know nothing of it
    blended = blend_factors(factors, foretold + 0.5, np.array([0, 5, 10**6, 50]), text_users=5.0)
    np.testing.assert_allclose(blended[:, 0], [0.5, 0.75, 1.0, 0.5], atol=1e-5)


def test_the_more_users_an_item_has_the_less_its_own_words_count():
    vectors, _ = make_vectors(4)
    weights = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    model = ItemItemRecommender(list("abcd"), weights)
    smoothed = smooth_vectors(vectors, model, np.array([1, 10**6, 10**6, 0]), text_users=5.0)
    np.testing.assert_allclose(np.linalg.norm(smoothed, axis=1), 1.0, atol=1e-5)
    assert smoothed[0] @ vectors[0] > 0.95
    np.testing.assert_allclose(smoothed[1], vectors[0], atol=1e-3)
    np.testing.assert_allclose(smoothed[2:], vectors[2:], atol=1e-6)  # used together with nothing


@pytest.mark.parametrize("max_dense_items", [10, 100])
def test_a_new_item_comes_up_for_whom_its_text_says_although_nobody_used_it(max_dense_items):
    options = replace(OPTIONS, features=replace(MIXED, max_dense_items=max_dense_items))
    known = make_catalogue()
    new = {
        group: Item(id=f"new-{group}", title=f"{group} thing new", description=f"{group} {group}") for group in GROUPS
    }
    catalogue = ItemCatalogue([*known.values(), *new.values()])
    events = make_events()
    learnt = learn_item_models(
        catalogue=known,
        embeddings=EMBEDDINGS,
        interactions=Interactions(events, items=list(known)),
        options=options.features,
    )
    texts = {item.id: item.text for item in known.values()}
    models = follow_catalogue(learnt, texts=texts, catalogue=catalogue, embeddings=EMBEDDINGS)
    interactions = Interactions(events, items=list(catalogue))
    table = models.make_table(catalogue=catalogue, interactions=interactions, options=options.features, now=NOW)
    interest = train_model(options=options)
    chain = make_chain(interest, catalogue=catalogue, interactions=interactions, item_models=models)
    for number, group in enumerate(GROUPS):  # user u0 likes what is of the garden, u1 music, u2 the kitchen
        found = [item.id for item in chain.invoke({"user": f"u{number}", "k": 100}).items]
        places = {other: found.index(f"new-{other}") for other in GROUPS}
        assert min(places, key=places.__getitem__) == group
    profile = build_profile("u0", interactions.history("u0"), interactions.weights, NOW)
    column = table.compute(table.score_user(profile))[:, FEATURE_NAMES.index("factors")]
    assert column[catalogue.positions["new-garden"]] > column[catalogue.positions["new-music"]]


def test_what_a_text_foretells_is_the_same_whether_items_came_before_or_after():
    catalogue = ItemCatalogue([*make_catalogue().values(), Item(id="new", title="garden thing new")])
    interactions = Interactions(make_events(), items=list(catalogue))
    fresh = learn_item_models(catalogue=catalogue, embeddings=EMBEDDINGS, interactions=interactions, options=MIXED)
    known = make_catalogue()
    learnt = learn_item_models(
        catalogue=known,
        embeddings=EMBEDDINGS,
        interactions=Interactions(make_events(), items=list(known)),
        options=MIXED,
    )
    followed = follow_catalogue(
        learnt,
        texts={item.id: item.text for item in known.values()},
        catalogue=catalogue,
        embeddings=EMBEDDINGS,
    )
    tables = [
        models.make_table(catalogue=catalogue, interactions=interactions, options=MIXED, now=NOW)
        for models in (fresh, followed)
    ]
    factors = [table._factors.factors for table in tables]
    np.testing.assert_allclose(np.abs(factors[0]), np.abs(factors[1]), atol=1e-3)  # the sign of a factor is free


def test_texts_and_users_are_kept_apart_where_nothing_else_is_said():
    catalogue, interactions = make_catalogue(), Interactions(make_events(), items=list(make_catalogue()))
    vectors = embed_catalogue(catalogue, EMBEDDINGS)
    behaviour = BehaviourModels.learn(interactions, OPTIONS.features, now=NOW, vectors=vectors)
    table = FeatureTable(
        catalogue=catalogue,
        vectors=vectors,
        interactions=interactions,
        options=OPTIONS.features,
        now=NOW,
        behaviour=behaviour,
    )
    assert behaviour.text_map is None
    assert table.taste_vectors is vectors


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), float("nan")])
def test_a_weight_of_texts_without_meaning_is_refused(wrong):
    with pytest.raises(OptionValueError, match="text_users"):
        FeatureOptions(text_users=wrong)
