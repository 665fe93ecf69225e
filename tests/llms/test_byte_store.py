"""One SQLite file of bytes: LangChain's suites, then what a cache on a disk must stand."""

import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests

from llms import SqliteByteStore
from llms.errors import ByteStoreError, OptionValueError


@pytest.fixture
def store(tmp_path):
    with SqliteByteStore(tmp_path / "folder" / "bytes.sqlite") as opened:
        yield opened


class TestLangChainSync(BaseStoreSyncTests[bytes]):
    @pytest.fixture
    def kv_store(self, store):
        return store

    @pytest.fixture
    def three_values(self):
        return b"one", b"", b"\x00\xff"


class TestLangChainAsync(BaseStoreAsyncTests[bytes]):
    @pytest.fixture
    async def kv_store(self, store):
        return store

    @pytest.fixture
    def three_values(self):
        return b"one", b"", b"\x00\xff"


def test_what_was_written_is_there_after_closing(tmp_path):
    path = tmp_path / "bytes.sqlite"
    with SqliteByteStore(path) as store:
        store.mset([("a", b"1")])
    with SqliteByteStore(path) as store:
        assert store.mget(["a"]) == [b"1"]


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.binary(max_size=9)),
    st.text("ab%_/\x00é", max_size=2),
)
def test_keys_with_a_prefix_are_all_keys_that_begin_with_it(entries, prefix):
    with SqliteByteStore(":memory:") as store:
        store.mset(list(entries.items()))
        assert sorted(store.yield_keys(prefix=prefix)) == sorted(key for key in entries if key.startswith(prefix))
        assert store.mget(list(entries)) == list(entries.values())
        assert store.size_bytes == sum(len(key.encode()) + len(value) for key, value in entries.items())


def test_more_keys_than_one_statement_takes(store):
    keys = [f"key {i:05}" for i in range(3000)]
    store.mset([(key, key.encode()) for key in keys])
    assert store.mget(["no", *keys]) == [None, *(key.encode() for key in keys)]
    assert list(store.yield_keys()) == keys
    store.mdelete(keys)
    assert (list(store.yield_keys()), store.size_bytes) == ([], 0)


def test_the_longest_unused_are_removed_first(tmp_path):
    store = SqliteByteStore(tmp_path / "bytes.sqlite", max_bytes=40)
    store.mset([(key, bytes(9)) for key in "abcd"])
    store.mget(["a"])  # used again: b is now the oldest
    store.mset([("e", bytes(9))])
    assert sorted(store.yield_keys()) == ["a", "d", "e"]
    assert store.size_bytes <= 40


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=30)), max_size=4), max_size=6))
def test_the_limit_holds_after_every_write_and_the_newest_stays(writes):
    with SqliteByteStore(":memory:", max_bytes=50) as store:
        for write in writes:
            store.mset(write)
            assert store.size_bytes <= 50
            if write:
                assert store.mget([write[-1][0]]) == [write[-1][1]]


def test_a_value_larger_than_the_limit_is_not_kept_and_removes_nothing_else():
    store = SqliteByteStore(":memory:", max_bytes=20)
    store.mset([("a", b"1"), ("b", b"old")])
    store.mset([("b", bytes(30))])
    assert store.mget(["a", "b"]) == [b"1", None]


def test_a_failed_write_leaves_nothing_behind(store):
    with pytest.raises(ByteStoreError, match="got str for the key 'b'"):
        store.mset([("a", b"1"), ("b", "text")])
    with pytest.raises(ByteStoreError, match="surrogates"):
        store.mset([("a", b"1"), ("\ud83d", b"2")])
    assert list(store.yield_keys()) == []


def test_threads_share_a_store(store):
    def work(number):
        for i in range(50):
            store.mset([(f"{number}/{i}", f"{number}-{i}".encode())])
            store.mget([f"{number}/{i}", "0/0"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.yield_keys())) == 300
    assert store.mget(["5/49"]) == [b"5-49"]


def test_processes_share_a_store(tmp_path):
    path = tmp_path / "bytes.sqlite"
    code = (
        "import sys; from llms import SqliteByteStore\n"
        "store = SqliteByteStore(sys.argv[1], max_bytes=10**6)\n"
        "for i in range(50): store.mset([(f'{sys.argv[2]}/{i}', b'x')]); store.mget(['0/0'])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(list(SqliteByteStore(path).yield_keys())) == 150


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(ByteStoreError, match="not a database"):
        SqliteByteStore(path)
    assert path.read_text("utf-8").startswith("no database")


def test_a_database_of_another_kind_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    with pytest.raises(ByteStoreError, match=r"no byte store .* tables people"):
        SqliteByteStore(path)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("people",)]


def test_a_folder_in_the_way_is_named(tmp_path):
    with pytest.raises(ByteStoreError, match=str(tmp_path)):
        SqliteByteStore(tmp_path)


def test_a_closed_store_is_refused(store):
    store.close()
    with pytest.raises(ByteStoreError, match="closed"):
        store.mget(["a"])


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"timeout_s": 0}])
def test_options_must_be_positive(options):
    with pytest.raises(OptionValueError, match="got 0"):
        SqliteByteStore(":memory:", **options)
