"""The migration guide: its examples run as they stand, and each defect it names is there in the old class only."""

import re
from pathlib import Path

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index

from llms.errors import UnknownOptionError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, import_langchain_faiss
from retrievers.errors import FilterError, StoreMismatchError
from tests.retrievers.community import LongEmbeddings, load_old, old_class

DOCS = Path(__file__).parents[3] / "docs"
NAMES = ["migrate-from-community-faiss.md", "migrate-from-community-faiss.zh-CN.md"]


def blocks(name):
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / name).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module", params=NAMES)
def names(request, tmp_path_factory):
    """What the blocks share: a folder that the old class saved, new folders, and the embedding."""
    folder, embedding = tmp_path_factory.mktemp("guide"), HashedEmbeddings()
    old_class().from_texts(["red shoe", "blue sky"], embedding, ids=["a", "b"]).save_local(str(folder / "old"))
    places = {"old_folder": folder / "old", "new_folder": folder / "new", "another_folder": folder / "more"}
    return places | {"tenant_folder": folder / "tenants", "embeddings": embedding, "guide": request.param}


@pytest.mark.parametrize("number", range(len(blocks(NAMES[0]))))
def test_the_examples_run_one_after_the_other(names, number, capsys):
    exec(compile(blocks(names["guide"])[number], f"block {number}", "exec"), names)  # noqa: S102  # our own examples
    assert capsys.readouterr().out.strip()


def test_both_languages_show_the_same_examples():
    english, chinese = (re.sub(r"  #.*", "", "\n".join(blocks(name))) for name in NAMES)
    assert english == chinese


def test_the_examples_leave_what_they_say(names):
    # runs after them, on the store as the last one left it
    assert {"shoe", "blue", "scarf"} < {document.id for document in names["store"].all_documents()}
    assert [found[0][0].id for found in names["answers"]] == ["shoe", "scarf"]
    assert (names["report"].documents, names["report"].skipped) == (2, [])


# --- the defects, in the order of the guide


@pytest.fixture
def embedding():
    return HashedEmbeddings(dimension=16)


def make_both(embedding, texts, metadatas=None, **options):
    """The old store and ours with the same documents, ids being the texts."""
    old = old_class().from_texts(texts, embedding, metadatas, ids=list(texts), **options)
    return old, FaissStore.from_texts(texts, embedding, metadatas, ids=list(texts))


def test_a_refused_add_damages_the_old_store_and_not_ours(embedding):
    old, ours = make_both(embedding, ["one", "two"])
    with pytest.raises(ValueError, match="already exist"):
        old.add_texts(["other"], ids=["one"])
    old.add_texts(["three"], ids=["three"])
    assert old.similarity_search("other", k=1)[0].id == "three"
    with pytest.raises(KeyError):
        old.similarity_search("three", k=1)
    ours.add_texts(["other"], ids=["one"])
    ours.add_texts(["three"], ids=["three"])
    assert [ours.similarity_search(text, k=1)[0].id for text in ("other", "three")] == ["one", "three"]


def test_the_old_store_forgets_metric_and_normalisation_and_ours_does_not(tmp_path):
    embedding = LongEmbeddings(dimension=16)
    old = old_class().from_texts(["one"], embedding, normalize_L2=True)
    old.save_local(str(tmp_path / "l2"))
    before, after = (s.similarity_search_with_score("one")[0][1] for s in (old, load_old(tmp_path / "l2", embedding)))
    assert (before, after) == (pytest.approx(0, abs=1e-5), pytest.approx(4))
    old = old_class().from_texts(["one"], embedding, distance_strategy="MAX_INNER_PRODUCT")
    old.save_local(str(tmp_path / "ip"))
    assert load_old(tmp_path / "ip", embedding).distance_strategy != old.distance_strategy
    with FaissStore(tmp_path / "ours", embedding=embedding, metric="inner_product") as store:
        store.add_texts(["one"])
    with FaissStore(tmp_path / "ours", embedding=embedding) as store:
        assert store.metric == "inner_product"
    with pytest.raises(StoreMismatchError, match="cosine"):
        FaissStore(tmp_path / "ours", embedding=embedding, metric="cosine")


def test_a_filter_may_find_nothing_in_the_old_store_and_finds_all_in_ours(embedding):
    texts = [f"shoe {number}" for number in range(200)] + ["sky 1", "sky 2"]
    old, ours = make_both(embedding, texts, [{"kind": text.split()[0]} for text in texts])
    assert old.similarity_search("shoe 1", k=2, filter={"kind": "sky"}) == []
    assert len(ours.similarity_search("shoe 1", k=2, filter={"kind": "sky"})) == 2
    with pytest.raises(UnknownOptionError, match="fetch_k"):
        ours.similarity_search("shoe 1", fetch_k=1000)


def test_a_missing_field_ends_a_search_of_the_old_store_only(embedding):
    old, ours = make_both(embedding, ["one", "two"], [{"price": 4}, {}])
    with pytest.raises(TypeError):
        old.similarity_search("one", filter={"price": {"$gt": 3}})
    assert [document.id for document in ours.similarity_search("one", filter={"price": {"$gt": 3}})] == ["one"]


def test_filters_differ_as_the_guide_says(embedding):
    old, ours = make_both(embedding, ["one", "two"], [{"tag": "a"}, {}])
    assert len(old.similarity_search("one", filter={"tag": {"$neq": "b"}})) == 2
    assert len(ours.similarity_search("one", filter={"tag": {"$ne": "b"}})) == 1
    assert len(old.similarity_search("one", filter={"tag": ["a", "b"]})) == 1
    assert len(ours.similarity_search("one", filter={"tag": {"$in": ["a", "b"]}})) == 1
    for filter_ in ({"tag": {"$neq": "b"}}, lambda metadata: True):
        with pytest.raises(FilterError):
            ours.similarity_search("one", filter=filter_)


@pytest.mark.parametrize("strategy", ["EUCLIDEAN_DISTANCE", "COSINE", "MAX_INNER_PRODUCT"])
def test_relevance_leaves_its_range_in_the_old_store_only(strategy):
    embedding = LongEmbeddings(dimension=16)
    texts = ["red shoe", "blue sky", "a hat", "the rain"]
    old = old_class().from_texts(texts, embedding, distance_strategy=strategy)
    with pytest.warns(UserWarning, match="between 0 and 1"):
        relevances = [relevance for _, relevance in old.similarity_search_with_relevance_scores("red shoe")]
    assert not all(0 <= relevance <= 1 for relevance in relevances)
    metric = {"EUCLIDEAN_DISTANCE": "l2", "COSINE": "cosine", "MAX_INNER_PRODUCT": "inner_product"}[strategy]
    ours = FaissStore.from_texts(texts, embedding, metric=metric)
    relevances = [relevance for _, relevance in ours.similarity_search_with_relevance_scores("red shoe")]
    assert all(0 <= relevance <= 1 for relevance in relevances)
    assert relevances == sorted(relevances, reverse=True)


def test_scores_are_what_the_table_says():
    embedding = LongEmbeddings(dimension=16)
    query, document = (np.array(embedding.embed_query(text)) for text in ("red shoe", "red hat"))
    distance = float(np.linalg.norm(query - document))
    product = float(query @ document)
    old = {
        strategy: old_class().from_texts(["red hat"], embedding, distance_strategy=strategy)
        for strategy in ("EUCLIDEAN_DISTANCE", "COSINE", "MAX_INNER_PRODUCT")
    }
    scores = {strategy: store.similarity_search_with_score("red shoe")[0][1] for strategy, store in old.items()}
    expected = {"EUCLIDEAN_DISTANCE": distance**2, "COSINE": distance**2, "MAX_INNER_PRODUCT": product}
    assert scores == pytest.approx(expected, rel=1e-4)
    for metric, value in {"l2": distance, "cosine": product / 9, "inner_product": product}.items():
        store = FaissStore.from_texts(["red hat"], embedding, metric=metric)
        assert store.similarity_search_with_score("red shoe")[0][1] == pytest.approx(value, rel=1e-4)


def test_the_old_relevance_of_inner_products_is_larger_for_worse(embedding):
    old = old_class().from_texts(["red shoe", "red hat"], embedding, distance_strategy="MAX_INNER_PRODUCT")
    (best, best_relevance), (_, next_relevance) = old.similarity_search_with_relevance_scores("red shoe")
    assert best.page_content == "red shoe"
    assert best_relevance < next_relevance


def test_diverse_results_have_the_scores_of_others_in_the_old_store_only(embedding):
    texts = [f"shoe {number}" for number in range(20)]
    old, ours = make_both(embedding, texts, [{"even": number % 2 == 0} for number in range(20)])
    vector = embedding.embed_query("shoe 1")
    found = old.max_marginal_relevance_search_with_score_by_vector(vector, k=3, filter={"even": True})
    true = {document.id: score for document, score in old.similarity_search_with_score("shoe 1", k=20)}
    assert [float(score) for _, score in found] != [pytest.approx(true[document.id]) for document, _ in found]
    assert all(d.metadata["even"] for d in ours.max_marginal_relevance_search("shoe 1", k=3, filter={"even": True}))


def test_deleting_is_wrong_or_refused_in_the_old_store_only(embedding):
    texts = [f"text {number}" for number in range(10)]
    old, ours = make_both(embedding, texts)
    with pytest.raises(ValueError, match="do not exist"):
        old.delete(["none"])
    assert ours.delete(["none"])
    vectors = np.array(embedding.embed_documents(texts), dtype=np.float32)
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 1)
    ivf.train(vectors)
    old.index = ivf
    ivf.add(vectors)
    old.delete(["text 0"])
    assert old.similarity_search("text 5", k=1)[0].id == "text 6"
    old.index = faiss.IndexHNSWFlat(16, 4)
    with pytest.raises(RuntimeError):
        old.delete(["text 1"])
    ours.delete(["text 0"])
    assert ours.similarity_search("text 5", k=1)[0].id == "text 5"


def test_merging_stores_that_share_an_id_damages_the_old_one_only(embedding):
    old, ours = make_both(embedding, ["one", "two"])
    other_old, other = make_both(embedding, ["two", "three"])
    with pytest.raises(ValueError, match="already exist"):
        old.merge_from(other_old)
    assert (old.index.ntotal, len(old.index_to_docstore_id), other_old.index.ntotal) == (4, 2, 0)
    ours.add_documents(other.all_documents())
    assert sorted(document.id for document in ours.all_documents()) == ["one", "three", "two"]


@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
def test_indexing_again_damages_the_old_store_and_not_ours(embedding, cleanup):
    pages = [Document(f"page {number}", metadata={"source": f"{number}.md"}) for number in range(3)]
    options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    old, ours = make_both(embedding, ["another"])
    for store in (old, ours):
        records = InMemoryRecordManager(namespace="test")
        records.create_schema()
        index(pages, records, store, **options)
        if store is old:
            with pytest.raises(ValueError, match="already exist"):
                index(pages, records, store, **options, force_update=True)
            assert store.index.ntotal == 7
        else:
            assert index(pages, records, store, **options, force_update=True)["num_updated"] == 3
            assert len(store) == 4
    changed = [Document("page 0 anew", metadata={"source": "0.md"})]
    index(changed, records, ours, **options)
    assert len(ours) == {None: 5, "incremental": 4, "full": 2, "scoped_full": 4}[cleanup]


def test_a_small_tenant_gets_nothing_from_the_old_store_and_its_own_from_ours(embedding, tmp_path):
    texts = [f"rules {number}" for number in range(100)]
    old = old_class().from_texts(texts, embedding, [{"tenant": "large"}] * 100)
    old.add_texts(["a note"], [{"tenant": "small"}])
    assert old.similarity_search("rules 1", filter={"tenant": "small"}) == []
    for tenant, held in (("large", texts), ("small", ["a note"])):
        with FaissStore(tmp_path, embedding=embedding, namespace=tenant) as store:
            store.add_texts(held)
    with FaissStore(tmp_path, embedding=embedding, namespace="small") as store:
        assert [document.page_content for document in store.similarity_search("rules 1")] == ["a note"]


def test_loading_the_old_store_runs_what_its_pickle_names_and_importing_it_does_not(embedding, tmp_path):
    old_class().from_texts(["one"], embedding).save_local(str(tmp_path))
    (tmp_path / "index.pkl").write_bytes(b"cbuiltins\nopen\n(V%b\nVw\ntR." % str(tmp_path / "marker").encode())
    with pytest.raises(ValueError, match=r"builtins\.open"):
        import_langchain_faiss(FaissStore(embedding=embedding), tmp_path)
    assert not (tmp_path / "marker").exists()
    with pytest.raises(Exception):  # noqa: B017  # whatever unpacking a file object raises; the file is made by then
        load_old(tmp_path, embedding)
    assert (tmp_path / "marker").exists()
