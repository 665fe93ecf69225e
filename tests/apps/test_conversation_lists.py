"""Lists of conversations by the indexes of SQLite and, where there is one, PostgreSQL."""

import contextlib
import itertools
import re
import sqlite3
import threading
from datetime import timedelta

import pytest

from apps.conversation_storage import open_postgres, open_sqlite
from chains.customer_service import LATEST, LONGEST_WAITING, ConversationKey, ListedKey, PageRequest
from tests.chains.customer_service.lists import START, ConversationListsContract, key_of, write_many, write_message

LATER = ListedKey.at(START + timedelta(seconds=500))
MIDDLE = ListedKey(ListedKey.at(START).time, "anna", "c1")
QUESTIONS = list(itertools.product((LATEST, LONGEST_WAITING), (None, "anna"), (None, MIDDLE)))


OUR_INDEXES = "SELECT indexname FROM pg_indexes WHERE starts_with(indexname, 'conversations_')"


def ask_postgres(storage, sql, values=None):
    with storage.store.conn.connection() as connection:
        cursor = connection.execute(sql, values)
        return [] if cursor.description is None else cursor.fetchall()


class _StoredLists(ConversationListsContract):
    @pytest.fixture
    def store(self, storage):
        return storage.store

    @pytest.fixture
    def transcripts(self, storage):
        return storage.transcripts


class TestSqliteLists(_StoredLists):
    @pytest.fixture
    def storage(self, tmp_path):
        with open_sqlite(tmp_path / "conversations.sqlite") as storage:
            yield storage


class TestPostgresLists(_StoredLists):
    @pytest.fixture
    def storage(self, postgres_url):
        with open_postgres(postgres_url) as storage:
            ask_postgres(storage, "TRUNCATE store")
            yield storage


@pytest.mark.parametrize(("order", "owner", "after"), QUESTIONS)
def test_sqlite_reads_keys_in_the_order_of_an_index(tmp_path, order, owner, after):
    with open_sqlite(tmp_path / "conversations.sqlite") as storage:
        sql, values = storage.lists.select_keys(order, owner, after=after, limit=10)
        plan = [row[3] for row in storage.store.conn.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    name = f"conversations_{order.namespace}_of_{'everyone' if owner is None else 'owner'}"
    assert [name in step for step in plan] == [True], plan  # a sort would be a second step
    if after is not None:
        assert "SEARCH" in plan[0]  # begins where the page does, not at the beginning of the list


@pytest.mark.parametrize("after", [None, LATER.cursor])
@pytest.mark.parametrize("name", ["page_of_waiting", "page_of_overviews"])
@pytest.mark.parametrize("owner", [None, "anna"])
def test_a_page_takes_sqlite_as_many_steps_however_many_conversations_there_are(tmp_path, name, owner, after):
    def count_steps(num):
        counts = []
        with open_sqlite(tmp_path / f"{num}.sqlite") as storage:
            write_many(storage.store, num)
            storage.store.conn.set_progress_handler(lambda: counts.append(1), 10)
            page = getattr(storage.transcripts, name)(owner, PageRequest(limit=20, after=after))
        assert (len(page.lines), page.num_lines, page.is_count_exact) == (20, 1_000, False)
        return len(counts)

    few = count_steps(1_500)
    assert few > 0
    assert count_steps(6_000) < 1.05 * few  # steps are counted in tens


def test_a_file_of_an_earlier_version_is_listed_by_page(tmp_path):
    path = tmp_path / "conversations.sqlite"
    with open_sqlite(path) as storage:
        write_many(storage.store, 3)
    with contextlib.closing(sqlite3.connect(path)) as database:  # as that version left it
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'conversations_%'")]
        assert len(names) == 4
        for name in names:
            database.execute(f"DROP INDEX {name}")
    with open_sqlite(path) as storage:
        page = storage.transcripts.page_of_waiting(None, PageRequest(limit=2))
        assert [one.conversation for one in page.lines] == ["c000000", "c000001"]
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'conversations_%'").fetchone()
    assert found == (4,)


def test_a_value_without_a_time_hides_no_other(tmp_path):
    with open_sqlite(tmp_path / "conversations.sqlite") as storage:
        write_message(storage.transcripts, "anna", "c1", seconds=0)
        storage.store.put(("overviews", "616e6e61"), "c2", {"owner": "anna"})
        page = storage.transcripts.page_of_overviews("anna", PageRequest(limit=1))
        assert [key_of(one) for one in page.lines] == [("anna", "c1")]
        assert storage.keys_of("anna") == [ConversationKey(owner="anna", conversation=name) for name in ("c1", "c2")]


@pytest.mark.parametrize("has_statistics", [False, True])
def test_postgres_reads_keys_in_the_order_of_an_index(postgres_url, has_statistics):
    with open_postgres(postgres_url) as storage:
        ask_postgres(storage, "TRUNCATE store")
        for number in range(20):
            write_many(storage.store, 500, owner=f"owner{number}")
        write_many(storage.store, 500)
        if has_statistics:
            ask_postgres(storage, "ANALYZE store")
        for (order, owner, after), limit in itertools.product(QUESTIONS, (21, 1_001)):
            sql, values = storage.lists.select_keys(order, owner, after=after, limit=limit)
            plan = "\n".join(row[0] for row in storage.lists.run(f"EXPLAIN {sql}", values))
            name = f"conversations_{order.namespace}_of_{'everyone' if owner is None else 'owner'}"
            assert re.search(rf"Index Scan (Backward )?using {name} on store", plan), plan
            assert "Sort" not in plan


def test_servers_that_open_postgres_at_once_make_the_indexes_once(postgres_url):
    with open_postgres(postgres_url) as storage:
        names = [row["indexname"] for row in ask_postgres(storage, OUR_INDEXES)]
        assert len(names) == 4
        for name in names:
            ask_postgres(storage, f"DROP INDEX {name}")
    both_opened = threading.Barrier(2, timeout=60)

    def open_and_wait():
        with open_postgres(postgres_url) as storage:
            both_opened.wait()
            found.append(len(ask_postgres(storage, OUR_INDEXES)))

    found = []
    threads = [threading.Thread(target=open_and_wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4, 4]
