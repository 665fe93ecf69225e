"""Files with words of people are for the server's own user."""

import stat

from apps.conversation_storage import open_sqlite
from apps.event_log import EventLog
from apps.feedback import FeedbackStore
from apps.keys import KeyStore
from apps.private_files import make_private
from apps.settings import SETTINGS_NAME, load_settings
from retrievers import Event


def _rights(folder):
    return {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in folder.iterdir()
        if ".sqlite" in path.name and path.suffix != ".lock"
    }


def test_conversations_events_feedback_and_keys_are_for_their_owner_only(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    settings = load_settings(tmp_path)
    KeyStore.of(settings).add("anna", role="customer")
    log = EventLog(settings.events_file)
    log.add([Event(user="anna", item="a1", event="view", time="2026-03-01T00:00:00Z")])
    FeedbackStore(settings.feedback_file).put(owner="anna", conversation="c", turn="t", rated_by="anna", thumb="up")
    with open_sqlite(settings.conversations_file):
        found = _rights(tmp_path)
    assert {"conversations.sqlite", "events.sqlite", "feedback.sqlite", "keys.sqlite"} <= set(found)
    assert {name for name in found if name.endswith("-wal")}
    assert set(found.values()) == {0o600}


def test_a_file_of_an_earlier_version_becomes_private(tmp_path):
    path = tmp_path / "old.sqlite"
    path.touch(mode=0o644)
    make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
