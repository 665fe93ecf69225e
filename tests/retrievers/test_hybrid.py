"""Search by meaning and by words at once."""

import pytest
from pydantic import ValidationError

from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, HybridRetriever
from retrievers.errors import VectorError


class BlindEmbeddings(HashedEmbeddings):
    """Sees only the first word, so that words must find the rest."""

    def _embed(self, text):
        return super()._embed(text.split()[0] if text.split() else "")


def test_what_the_vectors_miss_is_found_by_its_words():
    store = FaissStore(embedding=BlindEmbeddings(dimension=64))
    store.add_texts([f"page{i} about something else" for i in range(30)])
    store.add_texts(["how to solve error E1234"], ids=["wanted"])
    assert "wanted" not in [document.id for document in store.similarity_search("E1234", k=3)]
    assert HybridRetriever(store=store, k=3, fetch_k=3).invoke("E1234")[0].id == "wanted"


def test_what_the_words_miss_is_found_by_meaning(store):
    found = HybridRetriever(store=store, k=5).invoke("nothing shared")
    assert len(found) == 5


@pytest.mark.parametrize("k", [1, 3])
def test_k_holds_at_construction_and_at_a_call(store, k):
    assert len(HybridRetriever(store=store, k=k).invoke("red shoes")) == k
    assert len(HybridRetriever(store=store, k=5).invoke("red shoes", k=k)) == k
    assert len(HybridRetriever(store=store, k=5, fetch_k=1).invoke("red shoes", k=k)) == k


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_is_refused_at_construction_and_at_a_call(store, k):
    with pytest.raises(ValidationError):
        HybridRetriever(store=store, k=k)
    with pytest.raises(VectorError, match="at least 1"):
        HybridRetriever(store=store).invoke("red shoes", k=k)


def test_an_unknown_option_is_refused(store):
    with pytest.raises(ValidationError, match="top_k"):
        HybridRetriever(store=store, top_k=3)
    with pytest.raises(TypeError, match="top_k"):
        HybridRetriever(store=store).invoke("red shoes", top_k=3)


def test_relevance_lies_between_zero_and_one_and_falls(store):
    for question in ("red running shoes", "charging a phone", "zzz", "退货"):
        values = [document.metadata["relevance"] for document in HybridRetriever(store=store).invoke(question)]
        assert all(0.0 <= value <= 1.0 for value in values)
        assert values == sorted(values, reverse=True)


def test_the_documents_own_text_is_fully_relevant(store):
    first = HybridRetriever(store=store).invoke("Red running shoes")[0]
    assert (first.id, first.metadata["place"]) == ("shoe", 2)
    assert first.metadata["relevance"] == pytest.approx(1.0, abs=1e-5)


def test_each_document_is_found_once(store):
    ids = [document.id for document in HybridRetriever(store=store, k=10).invoke("charging cable for phones")]
    assert len(ids) == len(set(ids)) == 5


def test_changes_of_the_store_are_seen(store):
    retriever = HybridRetriever(store=store, k=1)
    assert retriever.invoke("E1234 gloves")[0].id != "gloves"
    store.add_texts(["gloves E1234"], ids=["gloves"])
    assert retriever.invoke("E1234 gloves")[0].id == "gloves"
    store.add_texts(["mittens E999"], ids=["gloves"])
    assert retriever.invoke("mittens")[0].page_content == "mittens E999"
    store.delete(["gloves"])
    assert retriever.invoke("mittens")[0].id != "gloves"


def test_the_stores_own_documents_stay_unchanged(store):
    HybridRetriever(store=store).invoke("red shoes")
    assert all("relevance" not in document.metadata for document in store.all_documents())


def test_an_empty_store_finds_nothing(embedding):
    assert HybridRetriever(store=FaissStore(embedding=embedding)).invoke("anything") == []


def test_a_question_without_words_is_answered_by_meaning(store):
    assert len(HybridRetriever(store=store, k=2).invoke("?!")) == 2


async def test_async_equals_sync(store):
    retriever = HybridRetriever(store=store, k=3)
    assert await retriever.ainvoke("red shoes") == retriever.invoke("red shoes")


def test_a_batch_answers_in_order(store):
    questions = ["Red running shoes", "Blue sky over the mountains"]
    assert [found[0].id for found in HybridRetriever(store=store, k=1).batch(questions)] == ["shoe", "sky"]
