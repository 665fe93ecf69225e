"""What is held of a person: exported whole, deleted from every byte of the workspace, and expired by age."""

import contextlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from langchain_core.runnables import RunnableLambda
from typer.testing import CliRunner

from apps.cli import app
from apps.conversation_storage import open_sqlite
from apps.errors import SettingsError
from apps.event_log import EventLog
from apps.feedback import FeedbackStore
from apps.keys import KeyStore
from apps.privacy import delete_person, expire_records, export_person, find_workspace_of, read_age
from apps.review_entries import ReviewedAnswer, ReviewedIntent, Reviews, ReviewSource
from apps.settings import SETTINGS_NAME, load_settings
from apps.wiring import open_conversations
from chains.customer_service import ServiceReply
from chains.errors import ConversationBusyError, ConversationStorageError
from retrievers import Event
from tests.reliability.processes import in_child

CANARY = "canary-4711"
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def reply(request):
    if "stuck" in request.text:
        raise RuntimeError(request.text)
    route = "handover" if "person" in request.text else "template"
    return ServiceReply(text=f"You said: {request.text}", route=route, reason="so", slots={"order": request.text[-8:]})


@pytest.fixture
def settings(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("", encoding="utf-8")
    (tmp_path / "customer_service").mkdir()
    return load_settings(tmp_path)


@pytest.fixture
def reviews(settings):
    return Reviews(settings.records_folder(settings.customer_service))


@pytest.fixture
def filled(settings, reviews):
    """A workspace with every kind of record of anna, whose words are all a canary, and of bo."""
    fill(settings, reviews)
    return settings


def fill(settings, reviews, *, anna="anna"):
    with open_conversations(settings, chain=RunnableLambda(reply)) as conversations:
        for owner, word in ((anna, CANARY), ("bo", "harmless")):
            for conversation in ("c1", "c2"):
                place = {"owner": owner, "conversation": f"{owner}-{conversation}"}
                conversations.send(**place, message_id="m1", text=f"where is it {word}")
                conversations.send(**place, message_id="m2", text=f"a person please {word}")
                conversations.answer_as_staff(**place, message_id="s1", text=f"found it {word}", close=False)
        with pytest.raises(RuntimeError):  # a message whose answering broke off: no more than a checkpoint
            conversations.send(owner=anna, conversation=f"{anna}-c3", message_id="m1", text=f"stuck {CANARY}")
    with contextlib.closing(FeedbackStore(settings.feedback_file)) as feedback:
        rate = {"turn": "m1/reply", "thumb": "down"}
        feedback.put(owner=anna, conversation=f"{anna}-c1", rated_by="staff", correction=CANARY, **rate)
        feedback.put(owner="bo", conversation="bo-c1", rated_by=anna, correction=f"by {CANARY}", **rate)
        feedback.put(owner="bo", conversation="bo-c1", rated_by="bo", **rate)
    source = ReviewSource(owner=anna, conversation=f"{anna}-c1", turn="m1/reply", time=NOW)
    reviews.add(ReviewedIntent(text=f"again {CANARY}", source=source, intent="track"))
    reviews.add(
        ReviewedIntent(
            text="harmless", source=source.model_copy(update={"owner": "bo", "conversation": "bo-c1"}), intent="track"
        )
    )
    reviews.add(ReviewedAnswer(text=f"where is it {CANARY}", answer="Soon."))  # of an earlier version
    reviews.use_all()
    with contextlib.closing(EventLog(settings.events_file)) as events:
        names = {"anna": (anna.rpartition("/")[2], CANARY), "bo": ("bo", "harmless")}
        events.add(Event(user=owner, item="i1", event="comment", time=NOW, text=text) for owner, text in names.values())
    keys = KeyStore.of(settings)
    keys.add(anna, role="customer")
    keys.add("bo", role="customer")
    keys.close()


def files_with(folder, *words):
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    }


def run(*arguments, **options):
    return CliRunner().invoke(app, ["privacy", *map(str, arguments)], **options)


def test_the_export_holds_every_record_of_a_person_and_none_of_another(filled):
    held = export_person(filled, "anna")
    assert held.counts == {"conversations": 3, "feedback": 2, "reviewed": 2, "events": 1, "keys": 1}
    first, second, begun = held.conversations
    assert [turn.speaker for turn in first.turns] == ["customer", "assistant", "customer", "assistant", "staff"]
    assert first.hand_over is not None
    assert second.state["slots"] == {"order": "ary-4711"}
    assert begun.turns == ()
    assert begun.state["message"]["text"] == f"stuck {CANARY}"
    assert "harmless" not in held.model_dump_json()
    assert set(export_person(filled, "nobody").counts.values()) == {0}


def test_an_export_makes_no_file(settings):
    before = {path.name for path in settings.workspace.iterdir()}
    assert not any(export_person(settings, "anna").counts.values())
    assert {path.name for path in settings.workspace.iterdir()} == before


def test_a_deleted_person_stands_in_no_byte_of_the_workspace(filled, reviews):
    vectors = filled.models_folder / "known_questions.safetensors"
    vectors.parent.mkdir()
    vectors.touch()
    label = b"anna".hex()
    assert {"conversations.sqlite", "feedback.sqlite", "reviewed.jsonl"} <= files_with(filled.workspace, CANARY)
    bo = export_person(filled, "bo")
    deletion = delete_person(filled, export_person(filled, "anna"))
    assert deletion.deleted == {"conversations": 3, "feedback": 2, "reviewed": 2, "events": 1, "keys": 1}
    assert files_with(filled.workspace, CANARY, "anna", label) == set()
    assert not vectors.exists()  # they came from a reviewed message
    assert len(reviews.in_use()) == 1
    left = export_person(filled, "bo")
    assert left.conversations == bo.conversations
    assert left.counts == {**bo.counts, "feedback": 1}  # what anna said about bo's conversation is hers
    assert not any(delete_person(filled, export_person(filled, "anna")).deleted.values())


def test_what_was_deleted_before_files_were_overwritten_goes_too(filled):
    deletions = {
        "conversations.sqlite": "DELETE FROM store WHERE value LIKE ?",
        "feedback.sqlite": "DELETE FROM feedback WHERE correction LIKE ?",
    }
    for name, deletion in deletions.items():
        with contextlib.closing(sqlite3.connect(filled.workspace / name)) as database:
            database.execute("PRAGMA secure_delete = OFF")
            database.execute(deletion, (f"%{CANARY}%",))
            database.commit()
    delete_person(filled, export_person(filled, "anna"))
    assert files_with(filled.workspace, CANARY) == set()


def test_nothing_is_deleted_while_another_process_has_the_conversations(filled):
    held = export_person(filled, "anna")

    def try_it():
        try:
            delete_person(filled, held)
        except ConversationBusyError as error:
            return str(error)

    with open_sqlite(filled.conversations_file):
        assert "another process has" in in_child(try_it)
        with pytest.raises(ConversationBusyError):
            export_person(filled, "anna")
        with pytest.raises(ConversationBusyError):
            expire_records(filled, before=NOW + timedelta(days=9), kinds=["conversations", "feedback", "reviewed"])
    assert export_person(filled, "anna") == held


def test_a_storage_that_breaks_is_named(filled, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("apps.conversation_storage.compact_sqlite", fail)
    with pytest.raises(ConversationStorageError, match="disk I/O error"):
        delete_person(filled, export_person(filled, "anna"))


def test_a_model_that_learnt_from_a_deleted_message_is_named(filled):
    examples = filled.models_folder / "intent" / "examples.json"
    examples.parent.mkdir(parents=True)
    examples.write_text(json.dumps([f"again {CANARY}", "other"]), encoding="utf-8")
    (examples.parent / "empty").touch()
    deletion = delete_person(filled, export_person(filled, "anna"))
    assert deletion.still_in == ("models/intent/examples.json",)


# --- expiry


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (["conversations"], {"conversations": 0, "feedback": 0, "reviewed": 1, "events": 1, "keys": 1}),
        (["feedback"], {"conversations": 2, "feedback": 0, "reviewed": 1, "events": 1, "keys": 1}),
        (["reviewed"], {"conversations": 2, "feedback": 1, "reviewed": 0, "events": 1, "keys": 1}),
        (["events"], {"conversations": 2, "feedback": 1, "reviewed": 1, "events": 0, "keys": 1}),
    ],
)
def test_records_expire_by_kind(filled, kinds, left):
    in_a_year = datetime.now(UTC) + timedelta(days=365)
    bo = export_person(filled, "bo")
    delete_person(filled, export_person(filled, "anna"))
    assert not any(expire_records(filled, before=NOW - timedelta(days=9999), kinds=kinds).deleted.values())
    assert export_person(filled, "bo").conversations == bo.conversations
    deletion = expire_records(filled, before=in_a_year, kinds=kinds)
    assert list(deletion.deleted) == kinds
    assert export_person(filled, "bo").counts == left
    if kinds == ["conversations"]:
        assert "conversations.sqlite" not in files_with(filled.workspace, "harmless")


def test_reviewed_messages_without_a_date_are_told(filled):
    deletion = expire_records(filled, before=NOW + timedelta(days=1), kinds=["reviewed"])
    assert (deletion.deleted, deletion.undated) == ({"reviewed": 2}, 1)


def test_an_age_is_a_number_and_a_unit():
    assert [read_age(text) for text in ("36h", "90d", "2w")] == [
        timedelta(hours=36),
        timedelta(days=90),
        timedelta(days=14),
    ]
    for text in ("", "90", "d", "-1d", "0d", "1.5d", "90 d", "999999d", "９０d"):
        with pytest.raises(SettingsError, match="such as 90d"):
            read_age(text)


# --- tenants and the command line


@pytest.fixture
def with_tenant(settings):
    """A main workspace and that of a tenant with the records of acme/anna."""
    folder = settings.workspace / "acme"
    (folder / "customer_service").mkdir(parents=True)
    (folder / SETTINGS_NAME).write_text('language = "zh"\n', encoding="utf-8")
    (settings.workspace / SETTINGS_NAME).write_text('[tenants]\nacme = "acme"\n', encoding="utf-8")
    fill(load_settings(folder), Reviews(folder / "customer_service"), anna="acme/anna")
    return load_settings(settings.workspace)


def test_the_workspace_is_that_of_the_owners_tenant(with_tenant):
    acme = (with_tenant.workspace / "acme").resolve()
    assert find_workspace_of(with_tenant, owner="acme/anna").workspace.resolve() == acme
    assert find_workspace_of(with_tenant, tenant="acme").workspace.resolve() == acme
    assert find_workspace_of(with_tenant, owner="bo") == with_tenant
    with pytest.raises(SettingsError, match=r"no tenant 'beta' \(there are: acme\)"):
        find_workspace_of(with_tenant, tenant="beta")


def test_a_person_of_a_tenant_is_deleted_from_the_command_line_in_chinese(with_tenant):
    folder = with_tenant.workspace
    shown = run("delete", "acme/anna", "-w", folder)
    assert shown.exit_code == 1  # nobody could be asked
    assert (
        "保存的与 acme/anna 有关的数据： 3 段对话, 2 条回答评价, 2 条已审核消息, 1 条商品行为, 1 个密钥" in shown.output
    )
    assert "没有删除任何数据" in shown.output
    assert files_with(folder / "acme", CANARY)
    done = run("delete", "acme/anna", "-w", folder, "--yes")
    assert done.exit_code == 0
    assert "已删除： 3 段对话" in done.output
    assert files_with(folder, CANARY) == set()
    assert "没有保存与 acme/anna 有关的数据" in run("delete", "acme/anna", "-w", folder, "--yes").output


def test_an_export_is_one_json_object_or_a_new_private_file(filled, tmp_path):
    shown = run("export", "anna", "-w", filled.workspace)
    assert json.loads(shown.stdout) == export_person(filled, "anna").model_dump(mode="json")
    out = tmp_path / "anna.json"
    written = run("export", "anna", "--out", out, "-w", filled.workspace)
    assert "it holds personal data" in written.stderr
    assert json.loads(out.read_text("utf-8")) == json.loads(shown.stdout)
    assert out.stat().st_mode & 0o077 == 0
    again = run("export", "anna", "--out", out, "-w", filled.workspace)
    assert "is there already" in str(again.exception)


def test_expiry_and_deletion_tell_programs_what_they_did(filled):
    expired = run("expire", "--older-than", "90d", "--yes", "--json", "-w", filled.workspace)
    assert json.loads(expired.stdout)["deleted"] == {"conversations": 0, "feedback": 0, "reviewed": 0, "events": 0}
    assert "2 reviewed" not in expired.stderr
    assert "1 reviewed messages of an earlier version have no date" in expired.stderr
    deleted = run("delete", "anna", "--yes", "--json", "-w", filled.workspace)
    assert json.loads(deleted.stdout)["deleted"]["conversations"] == 3
    assert "an age is" in str(run("expire", "--older-than", "soon", "--yes", "-w", filled.workspace).exception)
    assert "an owner is NAME" in str(run("export", "", "-w", filled.workspace).exception)


def test_without_an_answer_nothing_expires(filled):
    asked = run("expire", "--older-than", "1h", "-w", filled.workspace)
    assert asked.exit_code == 1
    assert "nothing was deleted" in asked.output
