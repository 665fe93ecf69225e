"""The store: what goes in comes out, what must not go in is refused whole."""

import math

import pytest
from langchain_core.documents import Document

from llms.errors import InputTextError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import SearchArgumentError, StoreMismatchError, VectorError


class TableEmbeddings(HashedEmbeddings):
    """Gives the vectors of a table, for texts whose vectors matter."""

    def __init__(self, table):
        super().__init__(dimension=len(next(iter(table.values()))))
        self.table = table

    def _embed(self, text):
        return self.table[text]


def test_the_nearest_come_first_with_their_cosines(store):
    found = store.similarity_search_with_score("red shoes", k=5)
    assert next(document.id for document, _ in found) == "shoe"
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(-1.0001 <= score <= 1.0001 for score in scores)


def test_a_score_is_the_cosine_whatever_the_length_of_the_vectors():
    store = FaissStore(embedding=TableEmbeddings({"a": [3.0, 4.0], "b": [0.0, -9.0], "q": [0.0, 2.0]}))
    store.add_texts(["a", "b"], ids=["a", "b"])
    scores = {document.id: score for document, score in store.similarity_search_with_score("q")}
    assert scores == pytest.approx({"a": 0.8, "b": -1.0})


def test_relevance_lies_between_zero_and_one():
    store = FaissStore(embedding=TableEmbeddings({"a": [3.0, 4.0], "b": [0.0, -9.0], "q": [0.0, 2.0]}))
    store.add_texts(["a", "b"], ids=["a", "b"])
    relevances = {d.id: r for d, r in store.similarity_search_with_relevance_scores("q")}
    assert relevances == pytest.approx({"a": 0.8, "b": 0.0})
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.5})
    assert [document.id for document in retriever.invoke("q")] == ["a"]


def test_metadata_and_text_come_back_as_they_were(store):
    metadata = {"tags": ["a", 1, None], "name": "退货", "nested": {"x": 1.5}, "flag": True}
    store.add_documents([Document("new text\n", metadata=metadata, id="new")])
    assert store.get_by_ids(["new"]) == [Document("new text\n", metadata=metadata, id="new")]


def test_ids_are_made_where_none_are_given(store):
    ids = store.add_documents([Document("one"), Document("two", id="two"), Document("three")])
    assert ids[1] == "two"
    assert len(set(ids)) == 3
    assert {document.page_content for document in store.get_by_ids(ids)} == {"one", "two", "three"}


def test_adding_an_id_again_replaces_the_document(store):
    store.add_texts(["Warm winter gloves"], ids=["shoe"])
    assert len(store) == 5
    assert store.similarity_search("warm winter gloves", k=1)[0].id == "shoe"
    assert all("Red" not in document.page_content for document in store.similarity_search("Red running shoes", k=5))


def test_of_an_id_given_twice_in_one_call_the_later_counts(store):
    assert store.add_texts(["first", "second"], ids=["same", "same"]) == ["same", "same"]
    assert len(store) == 6
    assert store.get_by_ids(["same"])[0].page_content == "second"
    assert [d.id for d in store.similarity_search("second first", k=6)].count("same") == 1


def test_deleted_documents_are_found_no_more(store):
    assert store.delete(["shoe", "sky"])
    assert len(store) == 3
    assert {document.id for document in store.similarity_search("red shoes sky", k=9)} == {"cable", "charger", "zh"}


def test_deleting_what_is_not_there_or_nothing_changes_nothing(store):
    store.delete(["nobody"])
    store.delete([])
    assert len(store) == 5


def test_deleting_without_ids_empties_the_store_and_it_can_be_filled_again(store):
    store.delete()
    assert len(store) == 0
    assert store.similarity_search("shoe") == []
    store.add_texts(["a shoe"], ids=["again"])
    assert [document.id for document in store.similarity_search("shoe")] == ["again"]


def test_adding_nothing_is_allowed(store):
    assert store.add_texts([]) == []


@pytest.mark.parametrize("k", [0, -1])
def test_a_search_for_fewer_than_one_is_refused(store, k):
    for search in (store.similarity_search, store.max_marginal_relevance_search):
        with pytest.raises(SearchArgumentError, match=f"k must be at least 1, got {k}"):
            search("shoe", k=k)


def test_an_empty_store_finds_nothing(embedding):
    store = FaissStore(embedding=embedding)
    assert store.similarity_search("shoe") == store.max_marginal_relevance_search("shoe") == []
    assert store.similarity_search("shoe", filter={"a": 1}) == []


def test_more_than_there_are_gives_all(store):
    assert len(store.similarity_search("shoe", k=100)) == 5


def test_diverse_results_do_not_repeat_themselves():
    table = {"a": [1.0, 0.0], "a2": [1.0, 0.001], "b": [0.7, 0.7], "q": [1.0, 0.05]}
    store = FaissStore(embedding=TableEmbeddings(table))
    store.add_texts(["a", "a2", "b"], ids=["a", "a2", "b"])
    assert {d.id for d in store.similarity_search("q", k=2)} == {"a", "a2"}
    diverse = store.max_marginal_relevance_search("q", k=2, lambda_mult=0.1)
    assert [d.id for d in diverse] == ["a2", "b"]
    assert store.max_marginal_relevance_search("q", k=2, fetch_k=1, filter={"none": 1}) == []


def test_scores_of_named_documents_are_their_cosines(store):
    expected = {document.id: score for document, score in store.similarity_search_with_score("red shoes", k=5)}
    found = store.score_by_ids("red shoes", ["sky", "nobody", "shoe"])
    assert [document.id for document, _ in found] == ["sky", "shoe"]
    assert {document.id: score for document, score in found} == pytest.approx(
        {name: expected[name] for name in ("sky", "shoe")}, abs=1e-6
    )
    assert store.score_by_ids("red shoes", []) == []


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ([[math.nan, 1.0]], "NaN or infinity"),
        ([[math.inf, 1.0]], "NaN or infinity"),
        ([[1.0, 2.0], [1.0]], "rows of numbers of one length"),
        ([["a", "b"]], "rows of numbers"),
        ([], r"gave \(0,\) for"),
        ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], "gave"),
        ([1.0, 2.0], "gave"),
    ],
)
def test_vectors_no_index_should_hold_are_refused_and_nothing_is_stored(monkeypatch, tmp_path, vectors, reason):
    embedding = HashedEmbeddings(dimension=2)
    store = FaissStore(tmp_path, embedding=embedding)
    store.add_texts(["good"], ids=["good"])
    monkeypatch.setattr(embedding, "embed_documents", lambda texts: vectors)
    texts = ["one", "two"] if len(vectors) == 2 and isinstance(vectors[0], list) else ["one"]
    with pytest.raises(VectorError, match=reason):
        store.add_texts(texts, ids=[f"new-{text}" for text in texts])
    store.close()
    reopened = FaissStore(tmp_path, embedding=HashedEmbeddings(dimension=2))
    assert [document.id for document in reopened.all_documents()] == ["good"]
    reopened.close()


def test_another_dimension_is_refused_with_both_named(store):
    store.embedding = HashedEmbeddings(dimension=8)
    with pytest.raises(StoreMismatchError, match="dimension 16, got 8"):
        store.add_texts(["new"])
    with pytest.raises(StoreMismatchError, match="dimension 16, got 8"):
        store.similarity_search("shoe")
    with pytest.raises(StoreMismatchError, match="dimension 16, got 3"):
        store.similarity_search_by_vector([1.0, 2.0, 3.0])
    assert len(store) == 5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"texts": ["ok", "nul \x00"]}, InputTextError),
        ({"texts": ["ok", "\ud800"]}, InputTextError),
        ({"texts": ["ok"], "ids": ["\ud800"]}, InputTextError),
        ({"texts": ["ok"], "metadatas": [{"a": object()}]}, VectorError),
        ({"texts": ["ok"], "metadatas": [{"a": math.nan}]}, VectorError),
        ({"texts": ["ok"], "metadatas": [{"a": "\ud800"}]}, VectorError),
        ({"texts": ["ok", "fine"], "metadatas": [{}]}, VectorError),
        ({"texts": ["ok", "fine"], "ids": ["one"]}, VectorError),
    ],
)
def test_a_refused_document_takes_the_whole_call_back(store, arguments, error):
    before = store.all_documents()
    with pytest.raises(error):
        store.add_texts(**arguments)
    assert store.all_documents() == before
    assert len(store.similarity_search("ok", k=10)) == 5


def test_from_texts_and_from_documents_build_a_store(embedding, tmp_path):
    store = FaissStore.from_texts(["one"], embedding, [{"a": 1}], ids=["x"], folder=tmp_path / "deep" / "store")
    assert store.get_by_ids(["x"])[0].metadata == {"a": 1}
    assert (tmp_path / "deep" / "store").is_dir()
    assert store.embeddings is embedding
    store.close()
    other = FaissStore.from_documents([Document("two", id="y")], embedding)
    assert other.similarity_search("two")[0].id == "y"


@pytest.mark.parametrize(("cleanup", "left"), [(None, 3), ("incremental", 2), ("full", 1), ("scoped_full", 2)])
def test_langchains_index_cleans_up_as_its_mode_says(embedding, cleanup, left):
    from langchain_core.indexing import InMemoryRecordManager, index

    records = InMemoryRecordManager(namespace="test")
    records.create_schema()
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    with FaissStore(embedding=embedding) as store:
        old = [Document("one", metadata={"source": "a"}), Document("two", metadata={"source": "b"})]
        assert index(old, records, store, **options)["num_added"] == 2
        index([Document("one, changed", metadata={"source": "a"})], records, store, **options)
        assert len(store) == len(store.similarity_search("one", k=9)) == left
        assert store.similarity_search("one, changed", k=1)[0].page_content == "one, changed"


async def test_langchains_index_works_async(embedding):
    from langchain_core.indexing import InMemoryRecordManager, aindex

    records = InMemoryRecordManager(namespace="test")
    records.create_schema()
    with FaissStore(embedding=embedding) as store:
        pages = [Document("one", metadata={"source": "a"})]
        options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
        assert (await aindex(pages, records, store, **options))["num_added"] == 1
        assert (await aindex(pages, records, store, **options))["num_skipped"] == 1


def test_langchains_index_can_run_again(store):
    from langchain_core.indexing import InMemoryRecordManager, index

    records = InMemoryRecordManager(namespace="test")
    records.create_schema()
    pages = [Document("one", metadata={"source": "a"}), Document("two", metadata={"source": "b"})]
    options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    assert index(pages, records, store, **options)["num_added"] == 2
    assert index(pages, records, store, **options)["num_skipped"] == 2
    assert index(pages, records, store, force_update=True, **options)["num_updated"] == 2
    assert index(pages[:1], records, store, **options)["num_deleted"] == 1
    assert len(store) == 6


def test_documents_come_in_the_order_of_their_ids_also_where_one_is_asked_for_twice():
    store = FaissStore(embedding=HashedEmbeddings())
    store.add_texts(["red", "blue"], ids=["a", "b"])
    assert [found.id for found in store.get_by_ids(["b", "a", "none", "b"])] == ["b", "a", "b"]
