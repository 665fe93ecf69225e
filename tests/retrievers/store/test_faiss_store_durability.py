"""The store on disk: closed and opened, killed, damaged, used from many threads."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import StoreDamagedError, StoreFolderError, StoreMismatchError
from retrievers.store.database import Database
from retrievers.store.manifest import read_manifest, write_manifest

TEXTS = [f"document {i} about word{i % 7} and word{i % 11}" for i in range(60)]

WRITER = """
import sys
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore

store = FaissStore(sys.argv[1], embedding=HashedEmbeddings(dimension=16))
for i in range(int(sys.argv[2]), 100_000):
    store.add_texts([f"document {i}"], ids=[str(i)])
    if i % 5 == 4:
        store.delete([str(i - 1)])
    print(i, flush=True)
"""


@pytest.fixture
def folder(tmp_path, embedding):
    """A folder with a closed store of sixty documents."""
    store = FaissStore(tmp_path / "store", embedding=embedding)
    store.add_texts(TEXTS, [{"place": i} for i in range(60)], ids=[str(i) for i in range(60)])
    store.close()
    return tmp_path / "store"


def test_a_reopened_store_finds_the_same(folder, embedding):
    results = []
    for _ in range(2):
        store = FaissStore(folder, embedding=embedding)
        found = store.similarity_search_with_score("word3 word5", k=20, filter={"place": {"$lt": 50}})
        results.append([(document.id, document.metadata, score) for document, score in found])
        store.close()
    assert results[0] == results[1]
    assert len(results[0]) == 20


def test_changes_survive_closing(folder, embedding):
    store = FaissStore(folder, embedding=embedding)
    store.delete(["1", "2"])
    store.add_texts(["replaced"], ids=["3"])
    store.close()
    store = FaissStore(folder, embedding=embedding)
    assert len(store) == 58
    assert store.similarity_search("replaced", k=1)[0].id == "3"
    store.close()


def test_nothing_is_pickled(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "store.commits",
        "store.seal",
        "store.sqlite",
        "writer.lock",
    ]


def test_another_embedding_model_is_refused_with_both_named(folder, embedding):
    with pytest.raises(StoreMismatchError, match=r"HashedEmbeddings hashed-16 \(dimension 16\).*hashed-32"):
        FaissStore(folder, embedding=HashedEmbeddings(dimension=32))
    FaissStore(folder, embedding=embedding).close()  # the attempt changed nothing


def test_a_newer_format_is_refused(folder, embedding):
    with sqlite3.connect(folder / "store.sqlite") as database:
        write_manifest(database, read_manifest(database) | {"schema_version": 3})
    database.close()
    with pytest.raises(StoreMismatchError, match="format 3, this version reads 2"):
        FaissStore(folder, embedding=embedding)


def test_a_folder_that_is_a_file_is_refused(tmp_path, embedding):
    (tmp_path / "file").write_text("hello", encoding="utf-8")
    with pytest.raises(StoreFolderError, match="name another"):
        FaissStore(tmp_path / "file", embedding=embedding)


def test_a_folder_that_is_no_store_is_refused_and_left_alone(tmp_path, embedding):
    (tmp_path / "letter.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(StoreFolderError, match=r"no store: it holds letter\.txt"):
        FaissStore(tmp_path, embedding=embedding)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("damage", ["garbage", "cut", "pages", "vector"])
def test_a_damaged_database_is_refused_with_a_typed_error(folder, embedding, damage):
    path = folder / "store.sqlite"
    content = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "pages":
        path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    else:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE vectors SET vector = x'00' WHERE row = 7")
        database.close()
    with pytest.raises(StoreFolderError, match="restore it"):
        FaissStore(folder, embedding=embedding)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE keywords_docsize SET sz = x'05' WHERE id = 3",
        "DELETE FROM keywords_docsize WHERE id = 3",
        "UPDATE keywords_data SET block = x'3d8123' WHERE id = 1",
        "DELETE FROM keywords_idx",
        "DELETE FROM keywords_data WHERE id > 10",
    ],
)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_damaged_words_are_made_anew(folder, embedding, damage, is_sealed):
    with FaissStore(folder, embedding=embedding) as store:
        right = store.keyword_search("word3 document", k=99)
    with sqlite3.connect(folder / "store.sqlite") as database:
        database.execute(damage)
    database.close()
    if not is_sealed:
        (folder / "store.seal").unlink()
    with FaissStore(folder, embedding=embedding) as store:
        assert store.keyword_search("word3 document", k=99) == right


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM tombstones",
        "UPDATE tombstones SET number = 9 WHERE number = 2",
        "UPDATE vectors SET row = 99 WHERE row = 60",
        "DELETE FROM documents WHERE row = 9",
        "UPDATE documents SET id = 'other' WHERE row = 9",
        "UPDATE manifest SET content = replace(content, 'cosine', 'cosinf')",
    ],
)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_documents_that_are_not_what_was_written_are_named(folder, embedding, damage, is_sealed):
    with FaissStore(folder, embedding=embedding) as store:
        store.delete(["3", "4"])
    with sqlite3.connect(folder / "store.sqlite") as database:
        database.execute(damage)
    database.close()
    if not is_sealed:
        (folder / "store.seal").unlink()
    with pytest.raises(StoreDamagedError, match="is damaged"):
        FaissStore(folder, embedding=embedding)


def test_a_failing_write_is_typed_and_changes_nothing(folder, embedding):
    store = FaissStore(folder, embedding=embedding)
    store.add_texts([TEXTS[0]], [{"place": 0}], ids=["0"])
    writer = store._documents.database._writer
    writer.execute("PRAGMA query_only = ON")  # as on a read-only disk
    with pytest.raises(StoreFolderError, match="cannot be written"):
        store.add_texts(["new"], ids=["0"])
    with pytest.raises(StoreFolderError, match="cannot be written"):
        store.delete(["0"])
    writer.execute("PRAGMA query_only = OFF")
    assert store.similarity_search(TEXTS[0], k=1)[0].page_content == TEXTS[0]
    assert len(store) == len(store.similarity_search("document", k=100)) == 60
    store.close()


def test_a_closed_store_gives_a_typed_error(folder, embedding):
    store = FaissStore(folder, embedding=embedding)
    store.close()
    with pytest.raises(StoreFolderError, match="closed"):
        store.similarity_search("document")


def test_threads_may_add_delete_and_search_at_once(tmp_path, embedding):
    store = FaissStore(tmp_path / "store", embedding=embedding)
    store.add_texts(TEXTS, ids=[str(i) for i in range(60)])
    errors = []

    def repeat(work):
        for i in range(60):
            try:
                work(i)
            except Exception as error:  # whatever it is, the test fails with it
                errors.append(error)

    def add(i):
        store.add_texts([f"fresh {i % 40}"], ids=[f"fresh-{i % 40}"])

    def delete(i):
        store.delete([f"fresh-{i % 40}"])

    def search(i):
        documents = store.similarity_search("fresh document", k=10)
        assert len({document.id for document in documents}) == len(documents) == 10
        store.max_marginal_relevance_search("fresh document", k=3, fetch_k=30)
        store.score_by_ids("fresh", [f"fresh-{i % 40}"])

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (add, delete, search, search)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store) == len(store.similarity_search("document", k=1000))
    store.close()


def test_what_was_acknowledged_survives_being_killed(tmp_path, embedding):
    folder, start = tmp_path / "store", 0
    deleted = set()
    for wait_s in (0.05, 0.17, 0.3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(start)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(5):
            assert writer.stdout.readline()  # it writes now
        time.sleep(wait_s)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = [int(line) for line in writer.stdout.read().split(b"\n")[:-1] if line]
        writer.wait()
        writer.stdout.close()
        last = max(acknowledged, default=start)
        deleted |= {i - 1 for i in range(start, last + 1) if i % 5 == 4}
        store = FaissStore(folder, embedding=embedding)
        present = {int(document.id) for document in store.all_documents()}
        begun = {last} if last % 5 == 3 else set()  # its deletion may have come before the kill
        assert set(range(last + 1)) - deleted - begun <= present
        assert not present & deleted
        assert len(store.similarity_search("document", k=100_000)) == len(store) == len(present)
        store.close()
        start = max(present) + 1  # the one after the last may or may not have been written
        deleted |= set(range(start)) - present
    assert start > 10


def _write_half(database):
    with database.writing() as connection:
        connection.execute("INSERT INTO words VALUES ('half')")
        raise ZeroDivisionError


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_write_that_fails_half_way_leaves_nothing_of_itself(tmp_path, on_disk):
    database = Database(tmp_path if on_disk else None)
    try:
        with database.writing() as connection:
            connection.execute("CREATE TABLE words (word TEXT)")
        with pytest.raises(ZeroDivisionError):
            _write_half(database)
        with database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM words").fetchone() == (0,)
        with database.writing() as connection:  # and the next one goes through
            connection.execute("INSERT INTO words VALUES ('whole')")
    finally:
        database.close()
