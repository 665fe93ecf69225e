"""Catalogues too large for matrices of items by items: the same lists of the same chain, in memory that stays small."""

import tracemalloc
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest

from chains.recommendation import (
    FeatureOptions,
    ItemModels,
    embed_catalogue,
    follow_catalogue,
    learn_item_models,
    train_interest_model,
)
from chains.recommendation.features import FEATURE_NAMES, BehaviourModels
from chains.recommendation.item_models import compare_query
from chains.recommendation.user_profile import build_profile
from llms.arrays import load_arrays, save_arrays
from llms.fakes import HashedEmbeddings
from retrievers import EventWeights, Interactions, ItemItemRecommender, NeighbourRecommender
from retrievers.errors import VectorError
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


@pytest.fixture(scope="module", params=[0.0, 5.0], ids=["texts apart", "texts mixed in"])
def features(request):
    return replace(SPARSE, text_users=request.param)


@pytest.fixture(scope="module")
def models(features):
    return learn_item_models(
        catalogue=make_catalogue(), embeddings=EMBEDDINGS, interactions=make_interactions(), options=features
    )


@pytest.fixture(scope="module")
def interest(features, models):
    options = replace(OPTIONS, features=features)
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


def test_a_kept_interest_model_of_before_reads_with_the_options_of_before(interest):
    told = interest.model_dump()
    later = ("max_dense_items", "text_users")
    told["feature_options"] = {name: value for name, value in asdict(SPARSE).items() if name not in later}
    options = type(interest).model_validate(told).feature_options
    assert (options.max_dense_items, options.text_users) == (5_000, 0.0)


@pytest.mark.parametrize("max_dense_items", [10, 100])
def test_models_follow_a_catalogue_whose_items_come_go_and_change_places(max_dense_items):
    options = replace(OPTIONS.features, max_dense_items=max_dense_items)
    catalogue, events = make_catalogue(), make_interactions().events
    models = learn_item_models(
        catalogue=catalogue, embeddings=EMBEDDINGS, interactions=make_interactions(), options=options
    )
    texts = {item.id: item.text for item in catalogue.values()}
    follow = partial(follow_catalogue, models, texts=texts, embeddings=EMBEDDINGS)
    assert follow(catalogue=catalogue) is models

    fresh = Item(id="fresh", title="a fresh thing")
    kept = [item for item in catalogue.values() if item.id != "music3"][::-1]
    changed = ItemCatalogue([*kept[:5], fresh, *kept[5:]])
    followed = follow(catalogue=changed)
    known = [event for event in events if event.item in changed]
    tables = [
        made.make_table(catalogue=items, interactions=Interactions(known, items=list(items)), options=options, now=NOW)
        for made, items in ((models, catalogue), (followed, changed))
    ]
    for user in ("u0", "u1", "u2"):
        profile = build_profile(user, [event for event in known if event.user == user], EventWeights(), NOW)
        before, after = (
            dict(zip(table.catalogue, table.compute(table.score_user(profile)), strict=True)) for table in tables
        )
        for item in changed:
            if item != "fresh":
                # a share of the best item and how many users the best one has may have changed with the best one
                np.testing.assert_allclose(after[item][:3], before[item][:3], atol=1e-5)
        assert after["fresh"][FEATURE_NAMES.index("collaborative")] == 0
        assert after["fresh"][FEATURE_NAMES.index("taste_cosine")] != 0


def test_vectors_of_another_length_are_refused_and_not_mixed():
    catalogue = make_catalogue()
    models = learn_item_models(
        catalogue=catalogue, embeddings=EMBEDDINGS, interactions=make_interactions(), options=SPARSE
    )
    texts = {item.id: item.text for item in catalogue.values()} | {"music1": "another text"}
    with pytest.raises(VectorError, match="vectors of 32 numbers, the encoder makes 8"):
        follow_catalogue(models, texts=texts, catalogue=catalogue, embeddings=HashedEmbeddings(dimension=8))


class FlooredEmbeddings(HashedEmbeddings):
    """An encoder that gives all texts half of their vector alike."""

    def embed_documents(self, texts):
        vectors = np.array(super().embed_documents(texts))
        shared = np.full(vectors.shape[1], vectors.shape[1] ** -0.5)
        return ((vectors + shared) / np.linalg.norm(vectors + shared, axis=1, keepdims=True)).tolist()

    def embed_query(self, text):
        return self.embed_documents([text])[0]

    def cosine_floor(self, _text):
        return 0.5


def test_a_new_item_is_seen_as_the_others_where_an_encoder_gives_all_texts_something_alike():
    embeddings, catalogue = FlooredEmbeddings(dimension=32), make_catalogue()
    models = learn_item_models(
        catalogue=catalogue, embeddings=embeddings, interactions=make_interactions(), options=SPARSE
    )
    texts = {item.id: item.text for item in catalogue.values()}
    like = catalogue["music1"].model_dump() | {"id": "fresh", "title": "music thing 77"}
    changed = ItemCatalogue([*catalogue.values(), Item(**like)])
    followed = follow_catalogue(models, texts=texts, catalogue=changed, embeddings=embeddings)
    np.testing.assert_array_equal(followed.vectors, embed_catalogue(changed, embeddings))
    cosines = followed.vectors[:-1] @ followed.vectors[-1]
    nearest = [list(catalogue)[at] for at in np.argsort(-cosines)[:5]]
    assert all(item.startswith("music") for item in nearest)


def test_a_search_compares_with_what_texts_do_not_share():
    embeddings, catalogue = FlooredEmbeddings(dimension=32), make_catalogue()
    vectors = embed_catalogue(catalogue, embeddings)
    cosines = compare_query(vectors, embeddings, catalogue["music1"].text)
    assert list(catalogue)[int(np.argmax(cosines))] == "music1"
    assert cosines.max() == pytest.approx(1, abs=0.15)
    assert not compare_query(vectors, embeddings, "").any()
