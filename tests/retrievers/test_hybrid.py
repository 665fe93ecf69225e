"""Search by meaning and by words at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, ValidationError

from llms.errors import InputTextError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, HybridRetriever, split_documents
from retrievers.errors import FilterError, SearchArgumentError
from retrievers.fusion import fuse_rankings
from tests.lifted import LiftedEmbeddings


class BlindEmbeddings(HashedEmbeddings):
    """Sees only the first word, so that words must find the rest."""

    def _embed(self, text):
        return super()._embed(text.split()[0] if text.split() else "")


class LongestFirst(BaseDocumentCompressor):
    """Puts long texts first, leaves out those with "never", and remembers what it was shown."""

    shown: list = Field(default_factory=list)

    def compress_documents(self, documents, query, callbacks=None):
        self.shown.append([document.id for document in documents])
        kept = [document for document in documents if "never" not in document.page_content]
        return sorted(kept, key=lambda document: -len(document.page_content))


@pytest.fixture
def blind_store():
    """Ten documents of each of two shops, whose vectors know their first word only."""
    store = FaissStore(embedding=BlindEmbeddings(dimension=64))
    for shop in ("north", "south"):
        texts = [f"page{place} of {shop} with code E{place}" for place in range(10)]
        store.add_texts(
            texts, [{"shop": shop, "place": place} for place in range(10)], ids=[f"{shop}{n}" for n in range(10)]
        )
    yield store
    store.close()


def _ids(documents):
    return [document.id for document in documents]


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
    with pytest.raises(SearchArgumentError, match="at least 1"):
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


# --- filters


@pytest.mark.parametrize("fetch_k", [1, 3, 50])
def test_filters_hold_for_what_is_found_by_words_too(blind_store, fetch_k):
    retriever = HybridRetriever(store=blind_store, k=1, fetch_k=fetch_k, filter={"shop": "south"})
    assert _ids(retriever.invoke("E7")) == ["south7"]
    assert _ids(HybridRetriever(store=blind_store, k=1, fetch_k=fetch_k).invoke("E7", filter={"shop": "north"})) == [
        "north7"
    ]


def test_a_filter_of_a_call_is_asked_for_in_addition(blind_store):
    retriever = HybridRetriever(store=blind_store, k=20, filter={"shop": "south"})
    assert {document.metadata["place"] for document in retriever.invoke("E7", filter={"place": {"$gte": 8}})} == {8, 9}
    assert retriever.invoke("E7", filter={"shop": "north"}) == []


@given(
    st.integers(min_value=0, max_value=9), st.integers(min_value=1, max_value=12), st.integers(min_value=1, max_value=5)
)
def test_all_that_match_come_back_and_nothing_else(least, k, fetch_k):
    store = FaissStore(embedding=BlindEmbeddings(dimension=16))
    store.add_texts([f"page{n} code E1" for n in range(10)], [{"place": n} for n in range(10)])
    found = HybridRetriever(store=store, k=k, fetch_k=fetch_k).invoke("E1", filter={"place": {"$gte": least}})
    assert len(found) == min(k, 10 - least)
    assert all(document.metadata["place"] >= least for document in found)


def test_a_filter_without_meaning_is_refused_at_construction_and_at_a_call(store):
    with pytest.raises(ValidationError, match=r"\$near"):
        HybridRetriever(store=store, filter={"place": {"$near": 1}})
    with pytest.raises(FilterError, match=r"\$near"):
        HybridRetriever(store=store).invoke("red", filter={"place": {"$near": 1}})


# --- order


def test_rank_fusion_goes_by_places(store):
    question = "charging cable for red shoes"
    by_meaning = _ids(store.similarity_search(question, k=5))
    by_words = [document.id for document, _ in store.keyword_search(question, 5)]
    found = HybridRetriever(store=store, fusion="rank").invoke(question)
    assert _ids(found) == fuse_rankings([by_meaning, by_words])
    assert all(0 <= document.metadata["relevance"] <= 1 for document in found)


def test_a_larger_word_weight_lets_words_decide(blind_store):
    question = "page3 E7"
    light, heavy = (HybridRetriever(store=blind_store, k=2, word_weight=weight) for weight in (0.01, 100))
    assert {document.metadata["place"] for document in light.invoke(question)} == {3}
    assert [document.metadata["relevance"] for document in heavy.invoke("E7")] == pytest.approx([1, 1], abs=0.01)


def test_words_that_stand_often_rank_higher_but_never_lift_relevance_above_one(embedding):
    store = FaissStore(embedding=embedding)
    store.add_texts(["shoe", "shoe shoe shoe shoe"], ids=["once", "often"])
    found = HybridRetriever(store=store, word_weight=100).invoke("shoe")
    assert [(document.id, document.metadata["relevance"]) for document in found] == [("often", 1.0), ("once", 1.0)]


def test_cosines_count_less_where_none_stands_out():
    class Undecided(HashedEmbeddings):
        def _embed(self, text):
            return [1.0, 0.0]

    store = FaissStore(embedding=Undecided(dimension=2))
    store.add_texts([f"page {number}" for number in range(20)])
    relevance = [found.metadata["relevance"] for found in HybridRetriever(store=store, k=20).invoke("nothing shared")]
    assert max(relevance) < 0.3  # though every cosine is 1


def test_a_single_document_that_is_near_is_relevant_without_shared_words():
    class Same(HashedEmbeddings):
        def _embed(self, text):
            return [0.6, 0.8] if text == "question" else [0.0, 1.0]

    store = FaissStore(embedding=Same(dimension=2))
    store.add_texts(["page"])
    found = HybridRetriever(store=store).invoke("question")
    assert found[0].metadata["relevance"] == pytest.approx(0.8 / 1.25)  # its cosine counts in full


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_relevance_lies_between_zero_and_one_in_every_metric(embedding, metric):
    store = FaissStore(embedding=embedding, metric=metric)
    store.add_texts(["red shoe", "blue sky", "green field"], ids=["shoe", "sky", "field"])
    found = HybridRetriever(store=store).invoke("red shoe")
    assert found[0].id == "shoe"
    assert all(0 <= document.metadata["relevance"] <= 1 for document in found)


def test_documents_below_the_least_relevance_are_left_out(store):
    everything = HybridRetriever(store=store).invoke("red running shoes")
    least = everything[0].metadata["relevance"]
    assert _ids(HybridRetriever(store=store, min_relevance=least).invoke("red running shoes")) == ["shoe"]
    assert HybridRetriever(store=store, min_relevance=0.9).invoke("something else") == []
    for impossible in (-0.1, 1.1):
        with pytest.raises(ValidationError):
            HybridRetriever(store=store, min_relevance=impossible)


# --- groups


@pytest.fixture
def faq_store(embedding):
    """Two questions with answers, and a document that belongs to no group."""
    store = FaissStore(embedding=embedding)
    rows = {
        "shoe/q": ("wash red shoes", "shoe"),
        "shoe/a": ("cold water is best for shoes", "shoe"),
        "hat/q": ("wash red hats", "hat"),
        "hat/a": ("steam keeps the felt in shape", "hat"),
    }
    metadata = [{"faq": faq} for _, faq in rows.values()]
    store.add_texts([text for text, _ in rows.values()], metadata, ids=list(rows))
    store.add_texts(["opening hours"], ids=["hours"])
    yield store
    store.close()


def test_a_group_comes_once_with_the_relevance_of_its_two_best(faq_store):
    question = "wash shoes in cold water"
    single = {found.id: found.metadata["relevance"] for found in HybridRetriever(store=faq_store).invoke(question)}
    grouped = HybridRetriever(store=faq_store, group_by="faq").invoke(question)
    assert grouped[0].metadata["faq"] == "shoe"
    assert {found.metadata.get("faq") for found in grouped[1:]} == {"hat", None}
    assert grouped[0].id == max(("shoe/q", "shoe/a"), key=single.get)
    best, second = sorted((single["shoe/q"], single["shoe/a"]), reverse=True)
    assert grouped[0].metadata["relevance"] == pytest.approx((2 * best + second) / 3)
    alone = next(found for found in grouped if found.id == "hours")
    assert alone.metadata["relevance"] == single["hours"]


def test_k_counts_groups(faq_store):
    retriever = HybridRetriever(store=faq_store, group_by="faq", k=2)
    assert {found.metadata["faq"] for found in retriever.invoke("wash red")} == {"shoe", "hat"}


# --- parents

PAGE = """# Cables

Use a short cable. It charges faster.

Never pull the wire itself when you take the plug out.

# Chargers

A charger with 65 watts is enough for a laptop."""


@pytest.fixture
def chunk_store(embedding):
    """A page cut into small chunks of two parents, and a document without parents."""
    store = FaissStore(embedding=embedding)
    page = Document(PAGE, metadata={"source": "cables.md", "title": "Power"})
    chunks = split_documents([page], chunk_chars=60, parent_chars=140)
    assert len({chunk.metadata["parent_start"] for chunk in chunks}) == 2 < len(chunks)
    store.add_documents(chunks)
    store.add_texts(["opening hours"], ids=["hours"])
    yield store
    store.close()


def test_a_parent_comes_once_at_the_place_of_its_best_chunk(chunk_store):
    chunks = HybridRetriever(store=chunk_store, k=10).invoke("pull the plug out")
    parents = HybridRetriever(store=chunk_store, k=10, parents=True).invoke("pull the plug out")
    starts = [found.metadata.get("parent_start") for found in chunks]
    assert [found.metadata.get("parent_start") for found in parents] == list(dict.fromkeys(starts))
    best = {found.metadata.get("parent_start"): found for found in reversed(chunks)}
    for parent in parents:
        chunk = best[parent.metadata.get("parent_start")]
        assert (parent.id, parent.metadata["relevance"]) == (chunk.id, chunk.metadata["relevance"])


def test_a_parents_text_is_that_of_the_document_and_cites_what_was_found(chunk_store):
    for parent in HybridRetriever(store=chunk_store, k=10, parents=True).invoke("pull the plug out"):
        if "parent_start" not in parent.metadata:
            assert parent.page_content == "opening hours"
            continue
        start, end, body_start = (parent.metadata[name] for name in ("start", "end", "body_start"))
        first, last = parent.metadata["parent_start"], parent.metadata["parent_end"]
        assert parent.page_content.startswith("Power\n\n")
        text = parent.page_content[len("Power\n\n") :]
        assert (text.split(), len(text)) == (PAGE[first:last].split(), last - first)
        assert parent.page_content[body_start : body_start + end - start] == PAGE[start:end]


def test_a_filter_holds_for_the_rest_of_a_parent_too(chunk_store):
    retriever = HybridRetriever(store=chunk_store, parents=True, filter={"start": {"$gte": 40}})
    assert all("short cable" not in parent.page_content for parent in retriever.invoke("short cable"))


def test_parents_of_different_files_are_told_apart(embedding):
    store = FaissStore(embedding=embedding)
    for source in ("a.md", "b.md"):
        page = Document(f"{source} one.\n\n{source} two.", metadata={"source": source})
        store.add_documents(split_documents([page], chunk_chars=10))
    found = HybridRetriever(store=store, parents=True).invoke("one two")
    assert sorted(parent.page_content for parent in found) == ["a.md one.\n\na.md two.", "b.md one.\n\nb.md two."]


def test_parents_and_groups_together_are_refused(store):
    with pytest.raises(ValidationError, match="choose one"):
        HybridRetriever(store=store, parents=True, group_by="faq")


# --- a reranker


def test_the_rerankers_order_counts_and_relevance_stays(store):
    plain = {found.id: found.metadata["relevance"] for found in HybridRetriever(store=store).invoke("red shoes")}
    found = HybridRetriever(store=store, reranker=LongestFirst()).invoke("red shoes")
    lengths = [len(document.page_content) for document in found]
    assert lengths == sorted(lengths, reverse=True)
    assert {document.id: document.metadata["relevance"] for document in found} == plain


def test_the_reranker_sees_the_first_candidates_and_may_leave_some_out(store):
    store.add_texts(["red shoes never"], ids=["never"])
    reranker = LongestFirst()
    found = HybridRetriever(store=store, reranker=reranker, rerank_k=3, k=2).invoke("red shoes never")
    first = _ids(HybridRetriever(store=store, k=3).invoke("red shoes never"))
    assert reranker.shown == [first]
    assert "never" in first
    assert "never" not in _ids(found)
    assert len(found) == 2


def test_a_reranker_is_not_called_for_nothing(embedding):
    reranker = LongestFirst()
    assert HybridRetriever(store=FaissStore(embedding=embedding), reranker=reranker).invoke("anything") == []
    assert reranker.shown == []


def test_a_reranker_reads_chunks_and_parents_come_back(chunk_store):
    reranker = LongestFirst()
    found = HybridRetriever(store=chunk_store, reranker=reranker, parents=True, k=1).invoke("charger")
    assert len(found) == 1
    assert len(reranker.shown[0]) == 3  # one chunk of each parent, and the document without


# --- many questions at once, and async


class CountedStore(FaissStore):
    """Counts searches by meaning."""

    num_searches = 0

    def search_vectors(self, vectors, k=4, **options):
        self.num_searches += 1
        return super().search_vectors(vectors, k, **options)


QUESTIONS = ["red shoes", "blue sky", "退货", "red shoes", "charging"]


def _counted(embedding):
    store = CountedStore(embedding=embedding)
    store.add_texts(["red shoe", "blue sky", "七天内可以退货", "charging cable"], [{"n": n} for n in range(4)])
    return store


@pytest.mark.parametrize("options", [{}, {"k": 2}, {"k": 2, "filter": {"n": {"$lt": 3}}}])
async def test_a_batch_makes_one_search_and_answers_as_single_calls_do(embedding, options):
    store = _counted(embedding)
    retriever = HybridRetriever(store=store)
    single = _rounded([retriever.invoke(question, **options) for question in QUESTIONS])
    store.num_searches = 0
    assert _rounded(retriever.batch(QUESTIONS, **options)) == single
    assert store.num_searches == 1
    assert _rounded(await retriever.abatch(QUESTIONS, **options)) == single
    assert store.num_searches == 2
    assert _rounded([await retriever.ainvoke(question, **options) for question in QUESTIONS]) == single


def _rounded(answers):
    """Return ids and relevances; a product of matrices may differ in its last digits from products of vectors."""
    return [[(found.id, round(found.metadata["relevance"], 5)) for found in documents] for documents in answers]


async def test_one_bad_question_of_a_batch_costs_the_others_nothing_if_errors_are_returned(store):
    retriever, questions = HybridRetriever(store=store, k=1), ["red shoes", "bad \x00", "blue sky"]
    for answers in (
        retriever.batch(questions, return_exceptions=True),
        await retriever.abatch(questions, return_exceptions=True),
    ):
        assert isinstance(answers[1], InputTextError)
        assert (_ids(answers[0]), _ids(answers[2])) == (["shoe"], ["sky"])
    with pytest.raises(InputTextError):
        retriever.batch(questions)


def test_an_empty_batch_is_empty(store):
    assert HybridRetriever(store=store).batch([]) == []


def test_an_unknown_option_of_a_batch_is_refused(store):
    with pytest.raises(TypeError, match="top_k"):
        HybridRetriever(store=store).batch(["red", "blue"], top_k=3)


LAMP_NAMES = [
    f"{first}{second}" for first in ("Ar", "Bal", "Cor", "Dal", "El", "Fen") for second in "aeiou" for _ in "x"
]


@pytest.mark.parametrize("parents", [False, True])
@pytest.mark.parametrize(
    ("header", "question"),
    [
        ("| Lamp | height in cm | weight in kg |", "What is the weight of the lamp {}?"),
        ("| 台灯 | 高度 | 重量 |", "台灯 {} 的重量是多少？"),
    ],
)
def test_a_row_of_a_long_table_is_found_by_its_words_with_those_of_the_header(header, question, parents):
    rows = [f"| {name} model | {20 + place} | {1 + place / 10} |" for place, name in enumerate(LAMP_NAMES)]
    text = "\n".join([header, "| --- | --- | --- |", *rows])
    other = Document("Red shoes and blue hats.", metadata={"source": "b"})
    store = FaissStore(embedding=HashedEmbeddings(dimension=1024))
    chunks = split_documents([Document(text, metadata={"source": "a", "title": "Lamps"}), other], chunk_chars=200)
    store.add_documents(chunks, ids=[chunk.id for chunk in chunks])
    retriever = HybridRetriever(store=store, k=1, parents=parents)
    for name, row in zip(LAMP_NAMES, rows, strict=True):
        (found,) = retriever.invoke(question.format(name))
        assert header in found.page_content
        assert row in text[found.metadata["start"] : found.metadata["end"]]
        assert found.page_content[found.metadata["body_start"] :].startswith(text[found.metadata["start"] :][:20])
    store.close()


@pytest.mark.parametrize("lift", [0.6, 0.9])
def test_relevance_does_not_depend_on_where_an_encoders_cosines_begin(lift):
    texts = ["wash the red shoe in cold water", "charge the phone at night", "the shop opens at nine", "鞋子怎么洗"]
    questions = ["how to wash a shoe", "charge my phone", "who wrote this opera"]
    found = []
    for embedding in (LiftedEmbeddings(lift=0.0), LiftedEmbeddings(lift=lift)):
        store = FaissStore(embedding=embedding)
        store.add_texts(texts, ids=["shoe", "phone", "shop", "鞋"])
        found.append(HybridRetriever(store=store, k=4).batch(questions))
    for plain, lifted in zip(*found, strict=True):
        assert [document.id for document in plain][:1] == [document.id for document in lifted][:1]
        assert _relevances(lifted) == pytest.approx(_relevances(plain), abs=0.1)


def test_a_document_in_another_script_is_not_blamed_for_sharing_no_words():
    class Translating(HashedEmbeddings):
        """Knows that one text is the other's translation."""

        def _embed(self, text):
            return super()._embed({"怎么洗鞋": "how to wash a shoe"}.get(text, text))

    store = FaissStore(embedding=Translating(dimension=256))
    store.add_texts(["怎么洗鞋", "how old a shoe may be"], ids=["chinese", "english"])
    found = HybridRetriever(store=store).invoke("how to wash a shoe")
    assert found[0].id == "chinese"
    assert found[0].metadata["relevance"] == pytest.approx(1, abs=1e-4)


def test_a_floor_that_is_given_is_taken():
    store = FaissStore(embedding=LiftedEmbeddings(lift=0.6))
    store.add_texts(["wash the shoe", "charge it"], ids=["shoe", "phone"])
    as_they_are, higher = (
        HybridRetriever(store=store, cosine_floor=floor).invoke("wash a shoe")[0].metadata["relevance"]
        for floor in (0.0, 0.9)
    )
    assert higher < HybridRetriever(store=store).invoke("wash a shoe")[0].metadata["relevance"] < as_they_are
    with pytest.raises(ValidationError):
        HybridRetriever(store=store, cosine_floor=1.0)


def _relevances(documents):
    return [document.metadata["relevance"] for document in sorted(documents, key=lambda document: document.id)]
