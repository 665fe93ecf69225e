"""One folder, several stores: one writes, all read, and no tenant sees another."""

import gc
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import InputTextError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import NamespaceError, StoreBusyError, StoreFolderError
from retrievers.store.namespaces import list_namespaces, store_folder


@pytest.fixture
def open_store(tmp_path, embedding):
    """Opens the same folder again and again, and closes everything at the end."""
    stores = []

    def open_it(**options):
        stores.append(FaissStore(tmp_path / "store", embedding=embedding, **options))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def test_others_see_what_one_writes(open_store):
    writer, reader = open_store(), open_store()
    assert reader.similarity_search("shoe") == []
    writer.add_texts(["red shoe", "blue sky"], [{"n": 1}, {"n": 2}], ids=["a", "b"])
    assert [document.id for document in reader.similarity_search("shoe", k=1)] == ["a"]
    writer.add_texts(["green shoe"], [{"n": 3}], ids=["b"])
    writer.delete(["a"])
    assert [document.page_content for document in reader.similarity_search("shoe", k=9)] == ["green shoe"]
    assert [document.id for document in reader.similarity_search("x", filter={"n": 3})] == ["b"]
    assert [document.id for document, _ in reader.keyword_search("shoe")] == ["b"]
    assert len(reader) == 1


def test_others_see_it_through_folding_and_compaction(open_store):
    writer, reader = open_store(index="hnsw"), open_store()
    for round_ in range(4):
        ids = [f"{round_}-{place}" for place in range(700)]
        writer.add_texts([f"text {id_}" for id_ in ids], ids=ids)
        writer.delete(ids[:300])
        if round_ == 2:
            writer.compact()
        assert len(reader.similarity_search("text", k=9_999)) == len(writer) == 400 * (round_ + 1)
    assert reader.info().index == "hnsw"


def test_a_second_writer_is_refused_until_the_first_closes(open_store):
    first, second = open_store(), open_store()
    first.add_texts(["one"], ids=["1"])
    for write in (lambda: second.add_texts(["two"]), lambda: second.delete(["1"]), second.compact):
        with pytest.raises(StoreBusyError, match="close that one first"):
            write()
    first.close()
    second.add_texts(["two"], ids=["2"])
    assert {document.id for document in second.similarity_search("one", k=9)} == {"1", "2"}


def test_a_writer_knows_what_was_written_before_it_became_one(open_store):
    early, other = open_store(), open_store()
    other.add_texts(["one", "two"], ids=["1", "2"])
    other.delete(["1"])
    other.close()
    early.add_texts(["three"], ids=["3"])
    assert {document.id for document in early.similarity_search("one", k=9)} == {"2", "3"}


def _write_in_process(folder, count):
    with FaissStore(folder, embedding=HashedEmbeddings(dimension=16)) as store:
        for place in range(count):
            store.add_texts([f"text {place}"], ids=[str(place)])


def test_a_process_that_wrote_and_ended_leaves_the_right_to_write(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_write_in_process, args=(tmp_path / "store", 5))
    process.start()
    process.join()
    assert process.exitcode == 0
    with FaissStore(tmp_path / "store", embedding=HashedEmbeddings(dimension=16)) as store:
        store.add_texts(["more"])
        assert len(store) == 6


def test_a_program_that_ends_without_closing_leaves_a_sealed_store(tmp_path):
    program = (
        "from llms.fakes import HashedEmbeddings; from retrievers import FaissStore;"
        f"store = FaissStore({str(tmp_path / 'store')!r}, embedding=HashedEmbeddings()); store.add_texts(['one'])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
    assert (tmp_path / "store" / "store.seal").exists()


def test_a_store_nobody_holds_any_more_gives_back_the_right_to_write(tmp_path, embedding):
    store = FaissStore(tmp_path / "store", embedding=embedding)
    store.add_texts(["one"])
    del store
    gc.collect()
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        store.add_texts(["two"])
        assert len(store) == 2


def test_the_store_is_given_back_with_its_block(tmp_path, embedding):
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        store.add_texts(["one"])
    store.close()  # a second time is allowed
    with pytest.raises(StoreFolderError, match="closed"):
        store.add_texts(["two"])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_can_be_read(tmp_path, embedding):
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        store.add_texts(["one"], ids=["1"])
    (tmp_path / "store").chmod(0o500)
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        assert store.similarity_search("one")[0].id == "1"
        with pytest.raises(StoreFolderError):
            store.add_texts(["two"])
    (tmp_path / "store").chmod(0o700)


def test_tenants_never_find_each_others_documents(tmp_path, embedding):
    with (
        FaissStore(tmp_path, embedding=embedding, namespace="shop-a") as large,
        FaissStore(tmp_path, embedding=embedding, namespace="店铺 B") as small,
    ):
        small.add_texts([f"secret {place} of b" for place in range(10)])
        large.add_texts([f"text {place} of a" for place in range(500)])
        assert len(small.similarity_search("text 3 of a", k=99)) == 10
        assert all("of a" in document.page_content for document in large.similarity_search("secret 3 of b", k=999))
        assert small.keyword_search("text a") == []
    assert FaissStore.namespaces(tmp_path) == ["shop-a", "店铺 B"]


def test_a_namespace_has_no_default(tmp_path, embedding):
    FaissStore(tmp_path / "tenants", embedding=embedding, namespace="a").close()
    with pytest.raises(NamespaceError, match=r"holds the namespaces a; say which"):
        FaissStore(tmp_path / "tenants", embedding=embedding)
    FaissStore(tmp_path / "plain", embedding=embedding).close()
    with pytest.raises(NamespaceError, match="without namespaces"):
        FaissStore(tmp_path / "plain", embedding=embedding, namespace="a")
    with pytest.raises(NamespaceError, match="needs a folder"):
        FaissStore(embedding=embedding, namespace="a")


@pytest.mark.parametrize("namespace", ["", "a" * 61, "nul \x00", "\ud800"])
def test_a_namespace_that_cannot_be_a_name_is_refused(tmp_path, embedding, namespace):
    with pytest.raises((NamespaceError, InputTextError)):
        FaissStore(tmp_path, embedding=embedding, namespace=namespace)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=9), unique=True))
def test_every_namespace_has_a_folder_of_its_own_below_the_given_one(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("root")
    folders = [store_folder(root, name) for name in [*names, "..", "a/b", ".", "A", "a", "con"]]
    assert {folder.parent for folder in folders} == {root / "namespaces"}
    assert len({folder.name.lower() for folder in folders}) == len({*names, "..", "a/b", ".", "A", "a", "con"})
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    assert set(list_namespaces(root)) == {*names, "..", "a/b", ".", "A", "a", "con"}
