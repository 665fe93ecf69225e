"""Backup of a workspace while it is written to, and the workspace that is made of it."""

import contextlib
import json
import shutil
import sqlite3
import stat
import threading

import pytest
from typer.testing import CliRunner

from apps.backup import MANIFEST_NAME, back_up, restore
from apps.cli import app
from apps.errors import BackupError, WorkspaceError
from apps.event_log import EventLog
from apps.feedback import FeedbackStore
from apps.keys import KeyStore
from apps.settings import SETTINGS_NAME, load_settings
from llms.fakes import HashedEmbeddings
from retrievers import Event, FaissStore


@pytest.fixture
def settings(tmp_path):
    """A workspace with records, a store, feedback and keys."""
    folder = tmp_path / "shop"
    (folder / "customer_service" / "knowledge").mkdir(parents=True)
    (folder / SETTINGS_NAME).write_text('language = "zh"\n', "utf-8")
    (folder / "customer_service" / "knowledge" / "退货.md").write_text("# 退货\n\n三十天内可以退货。\n", "utf-8")
    with _store(folder) as store:
        store.add_texts(["one", "two"], ids=["1", "2"])
    settings = load_settings(folder)
    FeedbackStore(settings.feedback_file).put(owner="anna", conversation="c", turn="t", rated_by="anna", thumb="up")
    KeyStore.of(settings).add("anna", role="customer")
    EventLog(settings.events_file).add([Event(user="anna", item="a1", event="buy", time="2026-03-01T00:00:00Z")])
    return settings


@contextlib.contextmanager
def _store(folder):
    with contextlib.closing(FaissStore(folder / "index" / "knowledge", embedding=HashedEmbeddings())) as store:
        yield store


def test_a_restored_workspace_holds_what_the_old_one_held(settings, tmp_path):
    report = back_up(settings, tmp_path / "copies" / "monday")
    done = []
    restored = restore(tmp_path / "copies" / "monday", tmp_path / "new", on_progress=lambda *now: done.append(now))
    assert (restored.files, restored.size_bytes) == (report.files, report.size_bytes)
    assert done[-1] == (report.size_bytes, report.size_bytes)
    again = load_settings(tmp_path / "new")
    assert again.language == "zh"
    name = "customer_service/knowledge/退货.md"
    assert (tmp_path / "new" / name).read_bytes() == (settings.workspace / name).read_bytes()
    with _store(again.workspace) as store:
        assert {document.id for document in store.get_by_ids(["1", "2"])} == {"1", "2"}
        store.add_texts(["three"], ids=["3"])
    assert len(KeyStore.of(again).list_all()) == 1
    assert [event.item for event in EventLog(again.events_file).history("anna")] == ["a1"]
    assert stat.S_IMODE(again.events_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(again.feedback_file.stat().st_mode) == 0o600


def test_a_workspace_is_backed_up_while_it_is_written_to(settings, tmp_path):
    acknowledged, stop = ["1", "2"], threading.Event()

    def write():
        with _store(settings.workspace) as store:
            while not stop.is_set():
                store.add_texts([f"text {len(acknowledged)}"], ids=[f"n{len(acknowledged)}"])
                acknowledged.append(f"n{len(acknowledged)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            before = list(acknowledged)
            back_up(settings, tmp_path / f"copy{number}")
            restore(tmp_path / f"copy{number}", tmp_path / f"new{number}")
            with _store(tmp_path / f"new{number}") as store:
                assert len(store.get_by_ids(before)) == len(before)
    finally:
        stop.set()
        writer.join(60)
    assert len(acknowledged) > 2


def test_links_and_what_belongs_to_a_process_stay_behind(settings, tmp_path):
    (settings.workspace / "out.txt").symlink_to("/etc/hostname")
    (settings.workspace / "index" / "knowledge" / "other.lock").touch()
    with contextlib.closing(sqlite3.connect(settings.feedback_file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE more (x)")
        back_up(settings, tmp_path / "copy")  # what is in the write-ahead log alone is part of it
    names = set(json.loads((tmp_path / "copy" / MANIFEST_NAME).read_bytes())["files"])
    assert not [name for name in names if name.endswith(("out.txt", ".lock", "-wal", "-shm", ".seal"))]
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / settings.feedback_file.name)) as copy:
        assert copy.execute("SELECT count(*) FROM more").fetchone() == (0,)


def test_what_lies_elsewhere_is_named(settings, tmp_path):
    text = '[tenants]\nacme = "../acme"\n[customer_service]\nconversations = "postgresql://host/shop"\n'
    (settings.workspace / SETTINGS_NAME).write_text(text, "utf-8")
    notes = " ".join(back_up(load_settings(settings.workspace), tmp_path / "copy").notes)
    assert "tenant acme" in notes
    assert "pg_dump" in notes


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda copy: (copy / SETTINGS_NAME).write_bytes(b'language = "en"\n'), "is not what was backed up"),
        (lambda copy: (copy / SETTINGS_NAME).unlink(), "cannot be restored"),
        (lambda copy: _replace(copy / SETTINGS_NAME, "/etc/hostname"), "is not what was backed up"),
        (lambda copy: (copy / MANIFEST_NAME).unlink(), "is no backup"),
        (lambda copy: (copy / MANIFEST_NAME).write_bytes(b"[1]"), "is damaged"),
        (lambda copy: _rewrite(copy, version=2), "made by a later version"),
        (lambda copy: _rewrite(copy, made_at="yesterday"), "is damaged"),
        (lambda copy: _rename(copy, "../evil"), "outside the workspace"),
        (lambda copy: _rename(copy, "/evil"), "outside the workspace"),
    ],
)
def test_a_damaged_backup_is_refused_and_nothing_is_left(settings, tmp_path, damage, reason):
    back_up(settings, tmp_path / "copy")
    damage(tmp_path / "copy")
    before = set(tmp_path.iterdir())
    with pytest.raises(BackupError, match=reason):
        restore(tmp_path / "copy", tmp_path / "new")
    assert set(tmp_path.iterdir()) == before


def _replace(path, target):
    path.unlink()
    path.symlink_to(target)


def _rewrite(copy, **fields):
    manifest = json.loads((copy / MANIFEST_NAME).read_bytes())
    (copy / MANIFEST_NAME).write_text(json.dumps({**manifest, **fields}), "utf-8")


def _rename(copy, name):
    files = json.loads((copy / MANIFEST_NAME).read_bytes())["files"]
    _rewrite(copy, files={name: files[SETTINGS_NAME]})


def test_nothing_is_overwritten_and_no_backup_lies_in_its_workspace(settings, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(BackupError, match="exists; name a new folder"):
        back_up(settings, tmp_path / "there")
    with pytest.raises(BackupError, match="lies in the workspace"):
        back_up(settings, settings.workspace / "copy")
    with pytest.raises(WorkspaceError, match="is no workspace"):
        back_up(settings.model_copy(update={"workspace": tmp_path / "there"}), tmp_path / "copy")
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(settings, tmp_path / ("x" * 300))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BackupError, match="has room for 10 bytes"):
        back_up(settings, tmp_path / "copy")
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]


def test_the_commands_say_what_they_did(settings, tmp_path):
    run = CliRunner().invoke
    made = run(app, ["backup", str(tmp_path / "copy"), "-w", str(settings.workspace), "--json"])
    assert json.loads(made.stdout)["files"] > 3
    assert "files" in run(app, ["restore", str(tmp_path / "copy"), str(tmp_path / "new")]).stdout
    assert load_settings(tmp_path / "new").language == "zh"
