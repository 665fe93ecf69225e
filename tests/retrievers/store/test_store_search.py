"""Searching: equal to a scan over all vectors, whatever the metric, the index, the filter and the history."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llms.errors import OptionValueError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import StoreMismatchError, VectorError
from retrievers.store.ann import build_ann, read_ann

DIMENSION = 8
METRICS = ["cosine", "inner_product", "l2"]
KINDS = ["flat", "hnsw", "ivf"]


def random_vectors(count, seed=0, dimension=DIMENSION):
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def filled(vectors, **options):
    store = FaissStore(embedding=HashedEmbeddings(dimension=vectors.shape[1]), **options)
    ids = [str(place) for place in range(len(vectors))]
    store.add_vectors([f"text {id_}" for id_ in ids], vectors, [{"place": int(id_)} for id_ in ids], ids=ids)
    return store


def true_scores(query, vectors, metric):
    if metric == "l2":
        return np.linalg.norm(vectors - query, axis=1)
    if metric == "cosine":
        return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    return vectors @ query


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_what_the_documentation_says_and_in_order(metric, kind):
    vectors, queries = random_vectors(300), random_vectors(5, seed=1)
    with filled(vectors, metric=metric, index=kind) as store:
        store.compact()
        assert store.info().index == kind
        for query, found in zip(queries, store.search_vectors(queries, k=300), strict=True):
            right = true_scores(query, vectors, metric)
            assert len(found) == 300
            assert [score for _, score in found] == pytest.approx(
                sorted(right.tolist(), reverse=metric != "l2"), abs=1e-4
            )
            assert all(score == pytest.approx(right[int(document.id)], abs=1e-4) for document, score in found)


@pytest.mark.parametrize("metric", METRICS)
def test_relevance_lies_in_the_unit_interval_and_falls_with_distance(metric):
    with filled(100 * random_vectors(50), metric=metric) as store:
        relevances = [value for _, value in store.similarity_search_with_relevance_scores("text", k=50)]
    assert all(0.0 <= value <= 1.0 for value in relevances)
    assert relevances == sorted(relevances, reverse=True)


@given(
    kept=st.sets(st.integers(0, 1_999), min_size=1, max_size=60) | st.integers(2, 1_999).map(lambda n: set(range(n))),
    k=st.integers(1, 40),
    gone=st.sets(st.integers(0, 1_999), max_size=300),
)
@settings(max_examples=15)
@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_loses_nothing_and_finds_the_nearest(kind, kept, k, gone):
    vectors, query = random_vectors(2_000), random_vectors(1, seed=2)
    with filled(vectors, index=kind) as store:
        store.compact()
        store.delete([str(place) for place in gone])
        found = store.search_vectors(query, k, filter={"place": {"$in": sorted(kept)}})[0]
    allowed = np.array(sorted(kept - gone), dtype=int)
    best = np.sort(true_scores(query[0], vectors[allowed], "cosine"))[::-1][:k]
    scores = [score for _, score in found]
    assert len(scores) == min(k, len(allowed))
    assert {int(document.id) for document, _ in found} <= set(allowed.tolist())
    if kind == "flat" or len(allowed) < 1_000:  # small sets are compared one by one, whatever the index
        assert scores == pytest.approx(best.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_finds_what_its_queries_find_alone(kind):
    vectors, queries = random_vectors(500), random_vectors(30, seed=3)
    with filled(vectors, index=kind) as store:
        store.compact()
        store.delete([str(place) for place in range(0, 500, 7)])
        for condition in (None, {"place": {"$lt": 100}}):
            together = store.search_vectors(queries, k=5, filter=condition)
            for query, found in zip(queries, together, strict=True):
                alone = store.search_vectors([query], k=5, filter=condition)[0]
                assert [document.id for document, _ in found] == [document.id for document, _ in alone]


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_finds_nearly_all_neighbours(kind):
    topics = random_vectors(40, dimension=32)
    random = np.random.default_rng(4)
    vectors = (topics[random.integers(0, 40, 4_000)] + 0.5 * random.standard_normal((4_000, 32))).astype(np.float32)
    queries = vectors[:50] + 0.1
    with filled(vectors, index=kind) as store:
        exact = [{document.id for document, _ in found} for found in store.search_vectors(queries, k=10)]
        assert store.info().index == "flat"
        store.compact()
        assert store.info().index == kind
        approximate = [{document.id for document, _ in found} for found in store.search_vectors(queries, k=10)]
    recall = np.mean([len(a & b) / 10 for a, b in zip(exact, approximate, strict=True)])
    assert recall >= 0.95


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_index_read_back_finds_the_same(kind, metric):
    vectors, queries = random_vectors(400), random_vectors(10, seed=5)
    index = build_ann(kind, vectors, metric)
    again = read_ann(kind, index.to_bytes(), vectors, metric)
    for mask in (None, np.arange(400) % 3 == 0):
        before, after = index.search(queries, 10, mask), again.search(queries, 10, mask)
        assert np.array_equal(before[1], after[1])
        assert np.allclose(before[0], after[0])


def test_what_is_added_after_the_index_was_built_is_found_too():
    with filled(random_vectors(300), index="hnsw") as store:
        store.compact()
        new = 3 * random_vectors(1, seed=6)
        store.add_vectors(["new text"], new, ids=["new"])
        assert store.search_vectors(new, k=1)[0][0][0].id == "new"
        assert (store.info().num_not_indexed, store.info().index) == (1, "hnsw")
        store.add_vectors(["newer text"], -new, ids=["7"])
        assert store.search_vectors(-new, k=1)[0][0][0].page_content == "newer text"
        assert [document.id for document, _ in store.search_vectors(new, k=999)[0]].count("7") == 1


def test_an_approximate_index_is_built_by_itself_when_enough_came():
    with filled(random_vectors(10), index="hnsw") as store:
        for part in range(3):
            ids = [f"{part}-{place}" for place in range(1_000)]
            store.add_vectors(ids, random_vectors(1_000, seed=part), ids=ids)
        store._index._builder.join()
        assert store.info().index == "hnsw"
        assert len(store.search_vectors(random_vectors(1), k=9_999)[0]) == 3_010


def test_concurrent_searches_get_their_own_answers():
    vectors = random_vectors(400)
    wrong = []
    with filled(vectors) as store:

        def search(place):
            for number in range(place, 400, 8):
                condition = {"place": {"$gte": number}} if number % 2 else None
                found = store.search_vectors(vectors[number : number + 1], 1 + number % 3, filter=condition)[0]
                if found[0][0].id != str(number) or len(found) != min(1 + number % 3, 400 - number * (number % 2)):
                    wrong.append(number)

        threads = [threading.Thread(target=search, args=(place,)) for place in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_diverse_results_obey_the_filter_and_the_metric():
    for metric in METRICS:
        with filled(random_vectors(200), metric=metric) as store:
            found = store.max_marginal_relevance_search("text", k=6, fetch_k=50, filter={"place": {"$lt": 20}})
            assert len({document.id for document in found}) == 6
            assert all(document.metadata["place"] < 20 for document in found)
            if metric == "cosine":  # in which nearness to the query and to each other are measured
                assert found[:1] == store.similarity_search("text", k=1, filter={"place": {"$lt": 20}})


@pytest.mark.parametrize(
    "vectors",
    [np.full((1, DIMENSION), np.nan), [[1.0, 2.0]], np.zeros((1, 2, 3)), [["a"] * DIMENSION], np.zeros((0, DIMENSION))],
)
def test_vectors_that_cannot_be_searched_are_refused(vectors):
    with filled(random_vectors(3)) as store:
        if len(vectors) == 0:
            assert store.search_vectors(vectors) == []
            return
        with pytest.raises((VectorError, StoreMismatchError)):
            store.search_vectors(vectors)


def test_a_metric_other_than_the_stores_is_refused_with_both_named(tmp_path):
    embedding = HashedEmbeddings(dimension=4)
    FaissStore(tmp_path, embedding=embedding, metric="l2").close()
    assert FaissStore(tmp_path, embedding=embedding).metric == "l2"
    with pytest.raises(StoreMismatchError, match="compares by l2, it is opened with cosine"):
        FaissStore(tmp_path, embedding=embedding, metric="cosine")


@pytest.mark.parametrize("options", [{"metric": "dot"}, {"index": "pq"}])
def test_an_option_that_does_not_exist_is_refused(options):
    with pytest.raises(OptionValueError, match="must be one of"):
        FaissStore(embedding=HashedEmbeddings(), **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.similarity_search("a", fetch_k=3),
        lambda store: store.similarity_search("a", k=1, filters={"a": 1}),
        lambda store: store.add_texts(["a"], id=["b"]),
        lambda store: store.delete(["a"], where={}),
        lambda store: store.max_marginal_relevance_search("a", lambda_=1),
    ],
)
def test_an_unknown_option_is_refused(call):
    with filled(random_vectors(3)) as store, pytest.raises(TypeError, match="no option"):
        call(store)


def test_words_are_searched_and_documents_found_under_a_filter():
    with filled(random_vectors(30)) as store:
        assert [document.id for document in store.find({"place": {"$in": [7, 3]}})] == ["3", "7"]
        few = {"place": {"$lt": 5}}
        assert {document.id for document, _ in store.keyword_search("text", k=9, filter=few)} == set("01234")
        assert store.keyword_search("text 7", k=9, filter={"place": 99}) == []
        store.delete(["3"])
        assert [document.id for document in store.find({"place": {"$in": [7, 3]}})] == ["7"]
        vector = store.embed_queries(["text 7"])[0]
        assert store.score_by_ids(vector, ["7"]) == store.score_by_ids("text 7", ["7", "3"])


def test_without_keywords_a_keyword_search_says_so():
    with filled(random_vectors(3), keywords=False) as store:
        assert len(store.similarity_search("text")) == 3
        with pytest.raises(StoreMismatchError, match="keywords=True"):
            store.keyword_search("text")


async def test_async_equals_sync():
    with filled(random_vectors(50)) as store:
        assert await store.asimilarity_search("text", k=3) == store.similarity_search("text", k=3)
        assert await store.asimilarity_search_with_score("text", filter={"place": 3}) == (
            store.similarity_search_with_score("text", filter={"place": 3})
        )
        await store.aadd_texts(["new"], ids=["new"])
        await store.adelete(["0"])
        assert [document.id for document in await store.aget_by_ids(["new", "0"])] == ["new"]
