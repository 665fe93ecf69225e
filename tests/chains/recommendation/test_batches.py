"""Lists of many users at once: the same to the last bit as one by one, and made in one go."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.errors import ChainInputError
from chains.recommendation import (
    FeatureOptions,
    InterestModel,
    ItemModels,
    RecommendationRequest,
    build_recommendation_chain,
)
from chains.recommendation.coarse_vectors import MAX_FULL_ITEMS, CoarseVectors, take_best
from chains.recommendation.features import FEATURE_NAMES, BehaviourModels
from llms.fakes import HashedEmbeddings
from retrievers import Interactions, Item, ItemCatalogue
from tests.chains.recommendation.worlds import (
    NOW,
    make_chain,
    make_event,
    train_model,
)

SIZE = len(FEATURE_NAMES)
WEIGHTS = tuple(np.linspace(0.2, 1.0, SIZE).tolist())


def make_large_chain(num_items, *, max_dense_items):
    """A shop of random items and vectors, without any training of ours."""
    rng = np.random.default_rng(0)
    catalogue = ItemCatalogue(
        Item(id=f"i{at}", title=f"Thing {at}", tags=(f"t{at % 7}", f"s{at % 3}"), price=float(at % 50 + 1))
        for at in range(num_items)
    )
    pairs = zip(rng.integers(60, size=900).tolist(), rng.integers(num_items // 4, size=900).tolist(), strict=True)
    events = [make_event(f"u{user}", f"i{item}", day=at / 30) for at, (user, item) in enumerate(pairs)]
    interactions = Interactions(events, items=list(catalogue))
    options = FeatureOptions(num_factors=5, max_dense_items=max_dense_items)
    vectors = rng.normal(size=(num_items, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return build_recommendation_chain(
        catalogue=catalogue,
        embeddings=HashedEmbeddings(dimension=128),
        interactions=interactions,
        interest=InterestModel(
            means=(0.0,) * SIZE, scales=(1.0,) * SIZE, coefficients=WEIGHTS, intercept=-1.0, feature_options=options
        ),
        item_models=ItemModels.of(vectors, BehaviourModels.learn(interactions, options, now=NOW)),
        clock=lambda: NOW,
    )


@pytest.fixture(scope="module", params=["dense", "sparse", "projected"])
def chain(request):
    sizes = {"dense": (900, 1000), "sparse": (900, 10), "projected": (MAX_FULL_ITEMS + 500, 10)}
    num_items, max_dense_items = sizes[request.param]
    return make_large_chain(num_items, max_dense_items=max_dense_items)


def make_requests():
    rng = np.random.default_rng(1)
    requests = []
    for number in range(50):
        request = {"user": f"u{number * 2}", "k": int(rng.integers(1, 30))}  # a third of them are strangers
        extra = [
            {"max_price": 20.0},
            {"exclude": [f"i{at}" for at in range(100)]},
            {"diversity": 0.9, "diversity_method": "dpp"},
            {"max_per_tag": 3},
            {"popularity_discount": 1.0},
            {"events": [make_event(request["user"], f"i{number}", "buy", 61)]},
            {},
        ][number % 7]
        requests.append(request | extra)
    return requests


def test_a_batch_gives_the_lists_of_its_requests_to_the_last_bit(chain):
    requests = make_requests()
    expected = [chain.invoke(request) for request in requests]
    assert chain.batch(requests) == expected
    order = np.random.default_rng(2).permutation(len(requests)).tolist()
    assert chain.batch([requests[at] for at in order]) == [expected[at] for at in order]


async def test_an_asynchronous_batch_is_that_batch(chain):
    requests = make_requests()[:5]
    assert await chain.abatch(requests) == chain.batch(requests)


def test_a_batch_that_is_cut_into_parts_is_the_same(chain, monkeypatch):
    requests = make_requests()[:9]
    expected = chain.batch(requests)
    monkeypatch.setattr("chains.recommendation.chain._MAX_CELLS", 2 * len(chain.catalogue))
    assert chain.batch(requests) == expected


def test_a_wrong_request_of_a_batch_is_its_own_error(chain):
    requests = [{"user": "u1"}, {"user": "u1", "k": 0}, {"user": "u2"}]
    first, wrong, last = chain.batch(requests, return_exceptions=True)
    assert isinstance(wrong, ChainInputError)
    assert [first, last] == chain.batch([requests[0], requests[2]])
    with pytest.raises(ChainInputError):
        chain.batch(requests)
    assert chain.batch([]) == []


def test_the_lists_of_a_trained_chain_are_the_same_in_a_batch():
    chain = make_chain(train_model())
    listed = chain.batch([RecommendationRequest(user=f"u{number}") for number in range(6)])
    assert listed == [chain.invoke({"user": f"u{number}"}) for number in range(6)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 20), st.integers(1, 6), st.integers(0, 999))
def test_the_best_are_taken_as_sorting_takes_them(size, count, num_values, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(num_values, size=size).astype(np.float32)
    allowed = rng.random(size) < rng.random()
    rows = np.flatnonzero(allowed)
    expected = np.sort(rows[np.argsort(-scores[rows], kind="stable")[:count]])
    np.testing.assert_array_equal(take_best(scores, allowed, count), expected)


def test_coarse_scores_find_nearly_all_of_the_nearest():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(MAX_FULL_ITEMS + 1, 24)) @ rng.normal(size=(24, 200))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    users = vectors[:20]
    exact = users @ vectors.T
    coarse = CoarseVectors(vectors).score(users)
    everything = np.ones(len(vectors), dtype=bool)
    shares = [
        len(np.intersect1d(take_best(exact[at], everything, 200), take_best(coarse[at], everything, 200))) / 200
        for at in range(len(users))
    ]
    assert min(shares) > 0.9
