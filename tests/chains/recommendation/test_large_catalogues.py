"""Catalogues too large for matrices of items by items: the same lists of the same chain, in memory that stays small."""

import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest

from chains.recommendation import FeatureOptions, ItemModels, learn_item_models, train_interest_model
from chains.recommendation.features import BehaviourModels
from llms.arrays import load_arrays, save_arrays
from retrievers import Interactions, ItemItemRecommender, NeighbourRecommender
from retrievers.items import Item, ItemCatalogue
from tests.chains.recommendation.worlds import (
    EMBEDDINGS,
    GROUPS,
    NOW,
    OPTIONS,
    make_catalogue,
    make_chain,
    make_event,
    make_interactions,
)

SPARSE = replace(OPTIONS.features, max_dense_items=10)


@pytest.fixture(scope="module")
def models():
    return learn_item_models(
        catalogue=make_catalogue(), embeddings=EMBEDDINGS, interactions=make_interactions(), options=SPARSE
    )


@pytest.fixture(scope="module")
def interest(models):
    options = replace(OPTIONS, features=SPARSE)
    parts = {"catalogue": make_catalogue(), "vectors": models.vectors, "interactions": make_interactions()}
    return train_interest_model(**parts, options=options)


@pytest.mark.parametrize(("limit", "kind"), [(29, NeighbourRecommender), (30, ItemItemRecommender)])
def test_the_number_of_items_decides_between_the_models(limit, kind):
    options = replace(SPARSE, max_dense_items=limit)
    assert isinstance(BehaviourModels.learn(make_interactions(), options, now=NOW).item_item, kind)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lists_come_from_the_users_group(interest, models, number):
    listed = make_chain(interest, item_models=models).invoke({"user": f"u{number}", "k": 3})
    assert all(item.id.startswith(GROUPS[number]) for item in listed.items)
    assert any(item.parts["collaborative"] > 0 for item in listed.items)


def test_models_that_were_kept_give_the_same_lists(interest, models, tmp_path):
    save_arrays(tmp_path / "models", models.arrays(), fingerprint="x")
    kept = ItemModels(**load_arrays(tmp_path / "models", fingerprint="x"))
    assert kept.item_item is None
    requests = [{"user": user} for user in ("u0", "u1", "stranger")]
    expected = make_chain(interest, item_models=models).batch(requests)
    chain = make_chain(interest, item_models=kept)
    assert chain.batch(requests) == [chain.invoke(request) for request in requests] == expected


def test_learning_a_large_catalogue_takes_no_square_of_memory():
    size = 6_000
    catalogue = ItemCatalogue(Item(id=f"i{at}", title=f"Thing {at}") for at in range(size))
    events = [
        make_event(f"u{user}", f"i{(17 * user + 3 * step) % size}", day=step)
        for user in range(500)
        for step in range(5)
    ]
    interactions = Interactions(events, items=list(catalogue))
    tracemalloc.start()
    models = BehaviourModels.learn(interactions, FeatureOptions(), now=interactions.now)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size * size
    best = f"i{np.argmax(models.item_item.score_items({'i3': 1.0}))}"
    together = {other.item for event in events if event.item == "i3" for other in interactions.history(event.user)}
    assert best in together - {"i3"}


def test_a_kept_interest_model_of_before_reads_with_the_limit_of_before(interest):
    told = interest.model_dump()
    told["feature_options"] = {name: value for name, value in asdict(SPARSE).items() if name != "max_dense_items"}
    assert type(interest).model_validate(told).feature_options.max_dense_items == 5_000
