"""Conversations in their file: killed, crowded, long, damaged, deleted; and in PostgreSQL, where there is one."""

import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import ormsgpack
import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG

from apps.conversation_storage import open_postgres, open_sqlite
from apps.errors import SettingsError, WorkspaceError
from chains.customer_service import Conversations, build_service_conversation
from chains.customer_service.messages import ConversationKey, Message, now
from chains.customer_service.transcript import Entry, Transcripts
from chains.errors import ConversationBusyError, ConversationStorageError
from tests.chains.customer_service.talks import ShopChain, Talk
from tests.reliability.conversations import run_full_disk, run_growth, run_kills, run_pairs
from tests.reliability.processes import in_child


def talk_in(storage, **options):
    chain = RunnableLambda(ShopChain().reply)
    graph = build_service_conversation(chain, checkpointer=storage.checkpointer, store=storage.store)
    return Talk(Conversations(graph, shared_lock=storage.shared_lock), **options)


def test_killed_servers_lose_and_double_nothing(tmp_path):
    report = run_kills(tmp_path / "kills", count=5, seed=1)
    assert report.kills == 5
    assert report.acknowledged > 5
    assert (report.lost, report.doubled, report.out_of_order) == (0, 0, 0)


def test_of_two_messages_at_once_each_is_answered_before_the_other(tmp_path):
    for report in run_pairs(tmp_path / "pairs", count=50):
        assert (report.pairs, report.lost, report.interleaved) == (25, 0, 0)
        assert not report.swapped


def test_a_full_disk_refuses_messages_and_goes_on_when_there_is_room(tmp_path):
    counts = run_full_disk(tmp_path / "full", num_limits=2)
    assert counts["refused"] == 2
    assert (counts["unreadable"], counts["lost"], counts["doubled"]) == (0, 0, 0)


def test_a_conversation_grows_by_what_is_said_and_no_more(tmp_path):
    growth = run_growth(tmp_path / "growth", num_messages=100)
    ours, usual = growth[100]
    assert ours.kilobytes < usual.kilobytes / 2


def test_a_checkpoint_holds_no_more_after_many_messages_than_after_some(tmp_path):
    path = tmp_path / "conversations.sqlite"
    sizes = []
    with open_sqlite(path) as storage:
        talk = talk_in(storage)
        for number in range(40):
            talk.say(f"warranty phones {number:03}")
            (found,) = storage.checkpointer.conn.execute("SELECT length(checkpoint) FROM checkpoints").fetchall()
            sizes.append(found[0])
    assert len(sizes) == 40  # one checkpoint each time: the others are gone
    assert max(sizes[20:]) <= max(sizes[:20]) + 50


def test_conversations_go_on_where_they_stood_after_a_restart(tmp_path):
    path = tmp_path / "conversations.sqlite"
    with open_sqlite(path) as storage:
        talk_in(storage).say("Where is my parcel?")
        talk_in(storage, conversation="c2").say("Do you like poems?")
    with open_sqlite(path) as storage:
        talk = talk_in(storage)
        reply = talk.conversations.send(**talk.place, message_id="later", text="1048")
        assert reply.text == "See order 1048."
        assert [waiting.conversation for waiting in talk.conversations.waiting("shop")] == ["c2"]


def test_every_write_is_on_the_disk_before_the_reply(tmp_path):
    with open_sqlite(tmp_path / "conversations.sqlite") as storage:
        talk_in(storage).say("warranty phones")
        for connection in (storage.checkpointer.conn, storage.store.conn):
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_second_process_is_refused_until_the_first_ends(tmp_path):
    path = tmp_path / "conversations.sqlite"

    def try_to_open():
        try:
            with open_sqlite(path):
                return "open"
        except ConversationBusyError as error:
            return str(error)

    with open_sqlite(path):
        assert "another process has" in in_child(try_to_open)
        with pytest.raises(ConversationBusyError, match="another process has"), open_sqlite(path):
            pass
    assert in_child(try_to_open) == "open"


def test_a_place_where_no_file_can_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="cannot be opened"), open_sqlite(tmp_path / "file" / "c.sqlite"):
        pass


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "conversations.sqlite"
    path.write_bytes(b"my diary, " * 1_000)
    with pytest.raises(WorkspaceError, match="cannot be opened as a file of conversations"), open_sqlite(path):
        pass
    assert path.read_bytes() == b"my diary, " * 1_000


def test_no_word_of_a_deleted_conversation_is_left_in_the_file(tmp_path):
    path = tmp_path / "conversations.sqlite"
    with open_sqlite(path) as storage:
        talk, other = talk_in(storage), talk_in(storage, conversation="c2")
        for number in range(30):
            talk.say(f"Do you like canary-4711 {number}?")
            other.say("warranty phones")
        everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"canary-4711" in everything
        talk.conversations.delete(**talk.place)
        everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"canary-4711" not in everything
        assert len(other.turns) == 60


def test_conversations_are_deleted_while_others_go_on(tmp_path):
    with open_sqlite(tmp_path / "conversations.sqlite") as storage:
        talk = talk_in(storage)

        def begin_and_delete(thread):
            for number in range(20):
                place = {"owner": "shop", "conversation": f"c{thread}-{number}"}
                talk.conversations.send(**place, message_id="m1", text="warranty phones")
                talk.conversations.delete(**place)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(begin_and_delete, range(4)))
        assert talk.conversations.list("shop") == []


def test_nothing_is_built_from_a_checkpoint_but_plain_values(tmp_path):
    """A row that would run a command where the serializer builds whatever a checkpoint names."""
    path, trace = tmp_path / "conversations.sqlite", tmp_path / "trace"
    call = ormsgpack.packb(("subprocess", "getoutput", f"touch {trace}"))
    with open_sqlite(path) as storage:
        talk_in(storage).say("warranty phones")
    database = sqlite3.connect(path)
    (row,) = database.execute("SELECT checkpoint FROM checkpoints").fetchall()
    checkpoint = ormsgpack.unpackb(row[0])
    checkpoint["channel_values"]["slots"] = ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, call)
    database.execute("UPDATE checkpoints SET checkpoint = ?", (ormsgpack.packb(checkpoint),))
    database.commit()
    database.close()
    with open_sqlite(path) as storage:
        config = {"configurable": {"thread_id": "73686f70/6331"}}
        loaded = storage.checkpointer.get_tuple(config).checkpoint
        assert loaded["channel_values"]["slots"] == f"touch {trace}"
    assert not trace.exists()


# --- PostgreSQL


def test_postgres_keeps_conversations_as_the_file_does(postgres_url):
    with open_postgres(postgres_url) as storage:
        talk, other = talk_in(storage), talk_in(storage, owner="shop%")
        assert talk.say("Where is my parcel?").text == "Which order?"
        assert talk.say("1048").text == "See order 1048."
        talk.say("Do you like poems?")
        assert talk.say("Hello?").text == ""
        talk.answer("I do.", close=True)
        assert other.conversations.list("shop_") == []
        other.say("warranty phones")
    with open_postgres(postgres_url) as storage:
        talk = talk_in(storage)
        assert [text for _, text in talk.turns[-3:]] == ["A colleague helps.", "Hello?", "I do."]
        with storage.checkpointer.conn.connection() as connection:
            (found,) = connection.execute("SELECT count(*) AS found FROM checkpoints").fetchall()
        assert found["found"] == 2  # one for each conversation
        talk.conversations.delete(**talk.place)
        assert talk.conversations.list("shop") == []
        assert len(talk_in(storage, owner="shop%").turns) == 2


def test_postgres_finds_and_deletes_all_conversations_of_an_owner(postgres_url):
    with open_postgres(postgres_url) as storage:
        for owner, conversation in (("anna", "c1"), ("anna", "c2"), ("anna2", "c3")):
            talk_in(storage, owner=owner, conversation=conversation).say("warranty phones")
        keys = storage.keys_of("anna")
        assert [key.conversation for key in keys] == ["c1", "c2"]
        for key in keys:
            storage.delete(key)
        storage.compact()
        assert storage.keys_of("anna") == []
        assert len(storage.keys_of("anna2")) == 1


def test_servers_that_share_postgres_never_mix_the_messages_of_a_conversation(postgres_url):
    with open_postgres(postgres_url) as first, open_postgres(postgres_url) as second:

        def say_ten_times(storage, name):
            conversations = talk_in(storage).conversations
            for number in range(10):
                text = f"warranty phones {name} {number}"
                conversations.send(owner="shop", conversation="shared", message_id=text, text=text)

        threads = [threading.Thread(target=say_ten_times, args=pair) for pair in ((first, "a"), (second, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        turns = talk_in(first, conversation="shared").turns
    assert [speaker for speaker, _ in turns] == ["customer", "assistant"] * 20


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.conversation_storage._POSTGRES_TIMEOUT_S", 0.5)
    url = f"postgresql:///postgres?host={tmp_path}&user=postgres&password=secret"
    with pytest.raises(SettingsError, match=r"'customer_service.conversations' cannot be used") as caught:
        open_postgres(url).__enter__()
    assert "secret" not in str(caught.value)


def test_a_file_of_a_later_version_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "conversations.sqlite"
    with open_sqlite(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(WorkspaceError, match=r"a later version of TuneChain \(format 99"), open_sqlite(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)


def test_an_entry_of_a_later_version_is_named_and_no_crash(tmp_path):
    key = ConversationKey(owner="anna", conversation="c1")
    message = Message(id="m1", sender="staff", text="hello", time=now())
    with open_sqlite(tmp_path / "conversations.sqlite") as storage:
        transcripts = Transcripts(storage.store)
        transcripts.write(key, message, Entry(number=1, turns=()), hand_over=None)
        (item,) = storage.store.search(("entries",))
        storage.store.put(item.namespace, item.key, {**item.value, "mood": "good"})
        with pytest.raises(ConversationStorageError, match=r"stored Entry cannot be read \(field 'mood'"):
            transcripts.turns(key)
