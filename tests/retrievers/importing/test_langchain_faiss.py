"""Import of langchain-community's FAISS folders: whole, or with the reason why not; never wrong vectors."""

import uuid
import warnings
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document

from llms.errors import TuneChainError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, import_langchain_faiss, read_langchain_faiss
from retrievers.errors import NamespaceError, OldStoreError, StoreMismatchError, UnsafePickleError
from tests.retrievers.community import LongEmbeddings, load_old, old_class

TEXTS = [f"text number {number}" for number in range(12)]
IDS = [f"id{number}" for number in range(12)]


class CountingEmbeddings(HashedEmbeddings):
    """Remembers what it embedded."""

    def __init__(self, **options):
        super().__init__(**options)
        self.texts = []

    def embed_documents(self, texts):
        self.texts += texts
        return super().embed_documents(texts)


class OtherEmbeddings(HashedEmbeddings):
    """Another model with vectors of the same dimension."""

    def _embed(self, text):
        return super()._embed(f"other {text[::-1]}")


@pytest.fixture
def embedding():
    return CountingEmbeddings(dimension=16)


@pytest.fixture
def old(embedding):
    """An old store with twelve documents."""
    return old_class().from_texts(TEXTS, embedding, [{"number": number} for number in range(12)], ids=IDS)


@pytest.fixture
def import_saved(embedding, tmp_path):
    """A function that saves an old store and gives ours and the report; whatever was embedded before is forgotten."""

    def import_one(old, metric="cosine", **options):
        old.save_local(str(tmp_path / "old"))
        embedding.texts.clear()
        store = FaissStore(embedding=embedding, metric=metric)
        return store, import_langchain_faiss(store, tmp_path / "old", **options)

    return import_one


def use_index(old, index):
    """Put the vectors of the old store into another index."""
    vectors = old.index.reconstruct_n(0, old.index.ntotal)
    index.train(vectors)
    index.add(vectors)
    old.index = index


INDEXES = {
    "flat": lambda: faiss.IndexFlatL2(16),
    "inner product": lambda: faiss.IndexFlatIP(16),
    "hnsw": lambda: faiss.IndexHNSWFlat(16, 4),
    "ivf": lambda: faiss.index_factory(16, "IVF1,Flat"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_documents_come_over_with_ids_metadata_and_vectors(old, embedding, import_saved, name):
    use_index(old, INDEXES[name]())
    store, report = import_saved(old)
    assert (report.documents, report.skipped, report.notes) == (12, [], [])
    assert store.all_documents() == [
        Document(text, id=id_, metadata={"number": number})
        for number, (text, id_) in enumerate(zip(TEXTS, IDS, strict=True))
    ]
    assert len(embedding.texts) == 3  # a few, to know the embedding
    for text, id_ in zip(TEXTS, IDS, strict=True):
        assert store.similarity_search_with_score(text, k=1)[0] == (store.get_by_ids([id_])[0], pytest.approx(1))


@pytest.mark.parametrize("metric", ["l2", "inner_product", "cosine"])
def test_the_order_of_results_stays_if_the_metric_does(tmp_path, metric):
    class UnequalEmbeddings(HashedEmbeddings):
        def _embed(self, text):
            return (np.array(super()._embed(text)) * (1 + len(text) % 3)).tolist()

    embedding = UnequalEmbeddings(dimension=16)
    texts = [f"{'x' * number} shoe {number}" for number in range(20)]
    strategy = {"l2": "EUCLIDEAN_DISTANCE", "inner_product": "MAX_INNER_PRODUCT", "cosine": "EUCLIDEAN_DISTANCE"}
    options = {"normalize_L2": True} if metric == "cosine" else {}
    old = old_class().from_texts(texts, embedding, ids=texts, distance_strategy=strategy[metric], **options)
    old.save_local(str(tmp_path))
    store = FaissStore(embedding=embedding, metric=metric)
    assert import_langchain_faiss(store, tmp_path).notes == []
    before = [document.id for document in old.similarity_search("shoe 4", k=20)]
    assert [document.id for document in store.similarity_search("shoe 4", k=20)] == before


def test_a_metric_that_changes_the_order_is_noted(tmp_path):
    embedding = LongEmbeddings(dimension=16)
    old_class().from_texts(["one"], embedding).save_local(str(tmp_path))
    store = FaissStore(embedding=embedding, metric="inner_product")
    [note] = import_langchain_faiss(store, tmp_path).notes
    assert "compared them by l2" in note
    assert "metric='l2' keeps it" in note
    with pytest.warns(UserWarning, match="keeps it"):
        import_langchain_faiss(store, tmp_path).warn()


def test_the_documents_lie_in_the_namespace_and_no_warning_is_given_if_all_is_well(old, embedding, tmp_path):
    old.save_local(str(tmp_path / "old"), index_name="shop")
    with FaissStore(tmp_path / "new", embedding=embedding, namespace="a") as store, warnings.catch_warnings():
        warnings.simplefilter("error")
        import_langchain_faiss(store, tmp_path / "old", index_name="shop").warn()
    with FaissStore(tmp_path / "new", embedding=embedding, namespace="a") as store:
        assert (len(store), store.metric) == (12, "cosine")
    with pytest.raises(NamespaceError):
        FaissStore(tmp_path / "new", embedding=embedding)


def test_the_report_warns_of_what_was_skipped(old, embedding, tmp_path):
    for number in range(5):
        old.docstore._dict[f"id{number}"].metadata = {"x": b"bytes"}
    old.save_local(str(tmp_path))
    store = FaissStore(embedding=embedding)
    with pytest.warns(UserWarning, match=r"7 documents were imported, 5 skipped \('id0': metadata cannot.*, \.\.\.\)"):
        import_langchain_faiss(store, tmp_path).warn()
    assert len(store) == 7


def test_importing_twice_changes_nothing_and_progress_is_told(old, tmp_path, embedding):
    old.save_local(str(tmp_path))
    store, steps = FaissStore(embedding=embedding), []
    for _ in range(2):
        import_langchain_faiss(store, tmp_path, report=lambda done, total: steps.append((done, total)))
    assert len(store) == 12
    assert steps == [(12, 12), (12, 12)]


def test_more_documents_than_a_batch_come_over(embedding, import_saved):
    texts = [f"text {number}" for number in range(1_203)]
    store, report = import_saved(old_class().from_texts(texts, embedding, ids=texts))
    assert report.documents == len(store) == 1_203
    assert store.similarity_search("text 1202", k=1)[0].id == "text 1202"


# --- other embeddings


@pytest.mark.parametrize("other", [HashedEmbeddings(dimension=8), OtherEmbeddings(dimension=16)])
def test_another_embedding_is_refused_before_anything_is_written(old, tmp_path, other):
    old.save_local(str(tmp_path / "old"))
    store = FaissStore(embedding=other)
    with pytest.raises(StoreMismatchError, match="reembed=True, or --reembed"):
        import_langchain_faiss(store, tmp_path / "old")
    assert len(store) == 0


def test_another_dimension_names_both(old, tmp_path):
    old.save_local(str(tmp_path))
    with pytest.raises(StoreMismatchError, match="dimension 16, this embedding gives 8"):
        read_langchain_faiss(tmp_path, embedding=HashedEmbeddings(dimension=8), check_vectors=False)


def test_vectors_of_something_else_than_the_texts_come_over_if_that_is_said(tmp_path, embedding):
    pairs = [(text, embedding.embed_query(f"a summary, {text[::-1]}")) for text in TEXTS]
    old_class().from_embeddings(pairs, embedding, ids=IDS).save_local(str(tmp_path))
    store = FaissStore(embedding=embedding)
    with pytest.raises(StoreMismatchError, match="check_vectors=False"):
        import_langchain_faiss(store, tmp_path)
    assert import_langchain_faiss(store, tmp_path, check_vectors=False).documents == 12
    assert store.similarity_search_by_vector(pairs[3][1], k=1)[0].id == "id3"


def test_texts_are_embedded_again_if_asked_whatever_the_index_is(old, tmp_path):
    old.save_local(str(tmp_path))
    (tmp_path / "index.faiss").unlink()
    other = OtherEmbeddings(dimension=8)
    store = FaissStore(embedding=other)
    import_langchain_faiss(store, tmp_path, reembed=True)
    assert store.info().dimension == 8
    assert store.similarity_search_with_score(TEXTS[3], k=1)[0][1] == pytest.approx(1)


def test_a_text_that_the_embedding_does_not_take_is_skipped_with_its_reason(embedding, import_saved):
    old = old_class().from_embeddings([(text, [1.0] * 16) for text in ("one", "long " * 30_000)], embedding)
    store, report = import_saved(old, reembed=True)
    assert (len(store), report.documents) == (1, 1)
    assert "150,000 characters" in report.skipped[0][1]


# --- stores out of step


def test_after_a_refused_add_only_vectors_that_are_surely_right_come_over(old, import_saved):
    with pytest.raises(ValueError, match="already exist"):
        old.add_texts(["refused"], ids=["id0"])
    old.add_texts(["late one", "late two"], ids=["late1", "late2"])
    store, report = import_saved(old)
    assert report.documents == 12
    assert [id_ for id_, _ in report.skipped] == ["late1", "late2"]
    assert all("out of step" in reason for _, reason in report.skipped)
    for text, id_ in zip(TEXTS, IDS, strict=True):
        assert store.similarity_search(text, k=1)[0].id == id_
    store, report = import_saved(old, reembed=True)
    assert (report.documents, report.skipped) == (14, [])
    assert store.similarity_search("late one", k=1)[0].id == "late1"


def test_after_removals_from_an_ivf_index_only_vectors_that_are_surely_right_come_over(old, import_saved):
    use_index(old, INDEXES["ivf"]())
    old.delete(["id4"])
    old.add_texts(["late one"], ids=["late1"])
    store, report = import_saved(old)
    assert {document.id for document in store.all_documents()} >= {"id0", "id1", "id2", "id3"}
    assert {"id5", "id6", "id11"} <= {id_ for id_, _ in report.skipped}
    for document in store.all_documents():
        assert store.similarity_search(document.page_content, k=1)[0].id == document.id


def test_documents_and_places_without_each_other_are_reported(old, import_saved):
    del old.docstore._dict["id3"]
    old.docstore.add({"extra": Document("no vector has it")})
    _, report = import_saved(old)
    assert dict(report.skipped) == {
        "id3": "the index knows it, but there is no document under this id",
        "extra": "the index holds no vector for it",
    }
    assert report.documents == 11


def test_places_beyond_the_index_have_no_vector(old, import_saved):
    old.index_to_docstore_id |= {99: "id0", -1: "id1", 2**70: "id2"}
    _, report = import_saved(old)
    assert (report.documents, report.skipped) == (12, [])  # each has its right place as well, which the text confirms
    old.index_to_docstore_id = {2**70: "id2"}
    _, report = import_saved(old)
    assert dict(report.skipped)["id2"] == "the index holds no vector for it"


def test_an_id_at_two_places_gets_the_vector_of_its_text(old, import_saved):
    old.index_to_docstore_id[7] = "id2"
    store, report = import_saved(old)
    assert [id_ for id_, _ in report.skipped] == ["id7"]
    assert store.similarity_search(TEXTS[2], k=1)[0].id == "id2"


def test_a_vector_with_nan_is_left_out(old, embedding, import_saved):
    vectors = np.array(embedding.embed_documents(TEXTS), dtype=np.float32)
    vectors[4, 2], vectors[5, 0] = np.nan, np.inf
    old.index = faiss.IndexFlatL2(16)
    old.index.add(vectors)
    store, report = import_saved(old)
    assert (len(store), report.skipped) == (10, [(id_, "its vector holds NaN or infinity") for id_ in ("id4", "id5")])


# --- documents


def test_metadata_that_are_no_json_become_text_or_numbers(embedding, import_saved):
    moment = datetime(2024, 2, 29, 12, 30, 15, 250, tzinfo=UTC)
    number = uuid.uuid4()
    metadata = {
        "datetime": moment,
        "plain datetime": moment.replace(tzinfo=None, fold=1),
        "date": date(2024, 2, 29),
        "time": time(23, 59, 1, 5, fold=1),
        "uuid": number,
        "decimal": Decimal("1.50"),
        "path": PurePosixPath("docs/a.md"),
        "float32": np.float32(1.5),
        "int64": np.int64(-3),
        "bool": np.bool_(True),
        "big endian": np.array([258], dtype=">i2")[0],
        "tuple": (1, ("a", None)),
        "set": {"b", "a"},
        "frozenset": frozenset({2, 1}),
        "large": 2**200,
        3: "a number as key",
    }
    store, report = import_saved(old_class().from_texts(["one"], embedding, [metadata], ids=["a"]))
    assert report.skipped == []
    assert store.get_by_ids(["a"])[0].metadata == {
        "datetime": moment.isoformat(),
        "plain datetime": moment.replace(tzinfo=None).isoformat(),
        "date": "2024-02-29",
        "time": "23:59:01.000005",
        "uuid": str(number),
        "decimal": "1.50",
        "path": "docs/a.md",
        "float32": 1.5,
        "int64": -3,
        "bool": True,
        "big endian": 258,
        "tuple": [1, ["a", None]],
        "set": ["a", "b"],
        "frozenset": [1, 2],
        "large": 2**200,
        "3": "a number as key",
    }


def test_metadata_that_cannot_become_json_leave_out_their_document_only(embedding, import_saved):
    values = {
        "bytes": b"x",
        "nan": float("nan"),
        "surrogate": "\udce9",
        "timedelta": timedelta(1),
        "key": {(b"x"): 1},
        "array": [np.float32("nan")],
    }
    metadata = [{"x": value} for value in values.values()]
    old = old_class().from_texts([*values, "fine"], embedding, [*metadata, {}], ids=[*values, "fine"])
    store, report = import_saved(old)
    assert [document.id for document in store.all_documents()] == ["fine"]
    assert sorted(id_ for id_, _ in report.skipped) == sorted(values)


def test_a_document_that_no_store_takes_is_left_out(embedding, import_saved):
    texts = {"nul": "a\x00b", "huge": "x" * 1_000_001, "fine": "a text", "": "no id"}
    old = old_class().from_embeddings([(text, [1.0] * 16) for text in texts.values()], embedding, ids=list(texts))
    old.docstore._dict["number"] = 7
    old.docstore._dict["no text"] = Document.model_construct(page_content=None, metadata={})
    old.docstore._dict["odd"] = Document.model_construct(page_content="a", metadata=["x"])
    _, report = import_saved(old, check_vectors=False)
    reasons = dict(report.skipped)
    assert set(reasons) == {"nul", "huge", "", "number", "no text", "odd"}
    assert "NUL" in reasons["nul"]
    assert "1,000,001 characters" in reasons["huge"]
    assert reasons["odd"] == "its metadata are a list, not a mapping"


def test_ids_that_are_numbers_become_text(old, import_saved):
    old.docstore._dict = {number: old.docstore._dict[f"id{number}"] for number in range(12)}
    old.index_to_docstore_id = {number: number for number in range(12)}
    old.docstore._dict["3"] = Document("once more")
    store, report = import_saved(old)
    assert store.get_by_ids(["3"])[0].page_content == TEXTS[3]
    assert dict(report.skipped)["3"].startswith("two documents have this id")


def test_an_empty_store_comes_over(old, import_saved):
    old.delete(IDS)
    store, report = import_saved(old)
    assert (len(store), report.documents, report.skipped) == (0, 0, [])


@pytest.mark.parametrize(
    ("module", "docstore"),
    [
        ("langchain.schema", "langchain.docstore.in_memory"),
        ("langchain.schema.document", "langchain.docstore.in_memory"),
        ("langchain.docstore.document", "langchain.docstore.in_memory"),
        ("langchain_core.documents.base", "langchain_community.docstore.in_memory"),
    ],
)
def test_files_of_earlier_years_are_read(old, embedding, tmp_path, module, docstore):
    # as langchain wrote them with pydantic 1: other module names, other names beside __dict__
    old.save_local(str(tmp_path))
    text = b"red shoe"
    fields = (
        b"}(\x8c\x0cpage_content\x8c\x08" + text + b"\x8c\x08metadata}\x8c\x05price\x4b\x28s\x8c\x0alookup_str\x8c\x00u"
    )
    document = _name(module, "Document") + b")\x81}(\x8c\x08__dict__" + fields
    document += b"\x8c\x0e__fields_set__\x8f\x8c\x1c__private_attribute_values__}ub"
    store_pickle = (
        _name(docstore, "InMemoryDocstore") + b")\x81}\x8c\x05_dict}\x8c\x01a" + document + b"ssb}K\x00\x8c\x01as\x86."
    )
    (tmp_path / "index.pkl").write_bytes(b"\x80\x04" + store_pickle)
    faiss.write_index(_one_vector(embedding.embed_query(text.decode())), str(tmp_path / "index.faiss"))
    store = FaissStore(embedding=embedding)
    import_langchain_faiss(store, tmp_path)
    assert store.all_documents() == [Document("red shoe", id="a", metadata={"price": 40})]


def _name(module, name):
    return bytes([0x8C, len(module)]) + module.encode() + bytes([0x8C, len(name)]) + name.encode() + b"\x93"


def _one_vector(vector):
    index = faiss.IndexFlatL2(len(vector))
    index.add(np.array([vector], dtype=np.float32))
    return index


# --- files that cannot be read


def test_a_folder_without_the_files_is_named(tmp_path, embedding):
    with pytest.raises(OldStoreError, match=r"index\.pkl cannot be read: No such file or directory; name the folder"):
        read_langchain_faiss(tmp_path, embedding=embedding)


def test_a_pickle_without_documents_is_refused(old, tmp_path, embedding):
    old.save_local(str(tmp_path))
    for data in (b"N.", b"\x80\x04}}\x86.", b"\x80\x04K\x01K\x02\x86."):
        (tmp_path / "index.pkl").write_bytes(data)
        with pytest.raises(OldStoreError, match="holds no in-memory docstore"):
            read_langchain_faiss(tmp_path, embedding=embedding)


def test_places_that_are_no_numbers_are_refused(old, tmp_path, embedding):
    for places in ({"0": "id0"}, {0: ("id0",)}, {0: None}):
        old.index_to_docstore_id = places
        old.save_local(str(tmp_path))
        with pytest.raises(OldStoreError, match="holds no in-memory docstore"):
            read_langchain_faiss(tmp_path, embedding=embedding)


def test_a_class_of_somebody_in_the_metadata_is_named(old, tmp_path, embedding):
    old.docstore._dict["id0"].metadata = {"x": OtherEmbeddings(dimension=2)}
    old.save_local(str(tmp_path))
    with pytest.raises(UnsafePickleError, match=r"test_langchain_faiss\.OtherEmbeddings'.*turn them into text"):
        read_langchain_faiss(tmp_path, embedding=embedding)


def test_a_quantised_index_is_refused_before_anything_is_written_and_its_texts_can_be_embedded(
    old, tmp_path, embedding
):
    use_index(old, faiss.index_factory(16, "SQ8"))
    old.save_local(str(tmp_path / "old"))
    store = FaissStore(embedding=embedding)
    with pytest.raises(OldStoreError, match=r"scalar-quantised vectors.*reembed=True"):
        import_langchain_faiss(store, tmp_path / "old")
    assert len(store) == 0
    import_langchain_faiss(store, tmp_path / "old", reembed=True)
    assert len(store) == 12


def test_the_old_folder_stays_as_it_was(old, tmp_path, embedding):
    old.save_local(str(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    import_langchain_faiss(FaissStore(embedding=embedding), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(load_old(tmp_path, embedding).index_to_docstore_id) == 12


def test_every_error_is_one_of_ours():
    assert issubclass(UnsafePickleError, OldStoreError)
    assert issubclass(OldStoreError, TuneChainError)
