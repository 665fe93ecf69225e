"""State of learning from logs: nothing twice, nothing lost, nobody's data."""

import sqlite3

import pytest

from apps.errors import LearningFileError, WorkspaceError
from apps.service_learning import learning
from apps.service_learning.learning import find_groups, read_into
from apps.service_learning.review import GroupReview
from apps.service_learning.state import LearningState, put_group
from tests.apps.service_learning.logs import ASKED, EMBEDDINGS, conversations, keep_all, learn
from tests.chains.customer_service.learning.logs import talk


def test_a_log_becomes_groups_with_their_answers(tmp_path):
    groups = GroupReview(learn(tmp_path)).list_groups()
    assert {group.draft.answers[0].text for group in groups} == set(ASKED)
    assert all(group.status == "open" and group.draft.num_requests == 16 for group in groups)


def test_the_latest_fifth_is_held_back(tmp_path):
    state = learn(tmp_path)
    later = state.later_requests()
    assert len(later) == 12
    assert min(request.time for request in later) == conversations()[48].messages[0].time


def test_a_log_that_is_read_again_changes_nothing(tmp_path):
    state = learn(tmp_path)
    before = list(state.database._connection.iterdump())
    assert read_into(state, conversations(), replace_private=keep_all) == 0
    find_groups(state, embeddings=None, encoder="hashed", slots=["order_number"])
    assert list(state.database._connection.iterdump()) == before


def test_more_conversations_join_the_groups_that_nobody_has_touched(tmp_path):
    state = learn(tmp_path, conversations(30))
    review = GroupReview(state)
    few = review.counts().open
    read_into(state, conversations(), replace_private=keep_all)
    find_groups(state, embeddings=EMBEDDINGS, encoder="hashed", slots=["order_number"])
    assert sum(group.draft.num_requests for group in review.list_groups()) == 48
    assert review.counts().open >= few


def test_private_data_is_replaced_before_anything_is_kept(tmp_path):
    def replace_anna(text):
        found = [("name", "Anna")] * text.count("Anna") + [("order_number", "VT-204918")] * text.count("VT-204918")
        return text.replace("Anna", "{name}").replace("VT-204918", "{order_number}"), found

    state = LearningState(tmp_path / "learning.sqlite")
    said = [("customer", "Anna asks where VT-204918 is"), ("agent", "Anna, VT-204918 comes today.")]
    read_into(state, [talk(*said, name="VT-204918", customer="p1")], replace_private=replace_anna)
    assert state.private_counts() == {"name": 2, "order_number": 2}
    assert state.shapes() == {("order_number", "VT-000000"): 2}
    state.close()
    assert all(b"Anna" not in path.read_bytes() and b"204918" not in path.read_bytes() for path in tmp_path.iterdir())


def test_conversations_without_a_request_are_read_once_too(tmp_path):
    state = LearningState(tmp_path / "learning.sqlite")
    for expected in (1, 0):
        assert read_into(state, [talk(("agent", "Hello"))], replace_private=keep_all) == expected
    assert (state.count_conversations(), state.count_requests()) == (1, 0)
    find_groups(state, embeddings=EMBEDDINGS, encoder="hashed", slots=["order_number"])
    assert GroupReview(state).list_groups() == []


def test_a_file_of_a_later_format_and_a_damaged_one_are_refused(tmp_path):
    path = tmp_path / "learning.sqlite"
    learn(tmp_path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(WorkspaceError, match="later version"):
        LearningState(path)
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(LearningFileError, match="check the file"):
        LearningState(path)


class Killed(BaseException):
    """The process ends here."""


def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "_AT_ONCE", 5)
    whole, folder = learn(new_folder(tmp_path, "whole")), new_folder(tmp_path, "killed")

    def killed_after(texts):
        left = iter(range(texts))

        def replace_private(text):
            if next(left, None) is None:
                raise Killed
            return text, []

        return replace_private

    for kill in range(20):
        state = LearningState(folder / "learning.sqlite")
        with pytest.raises(Killed):
            read_into(state, conversations(), replace_private=killed_after(kill))
        state.close()
    assert 0 < LearningState(folder / "learning.sqlite").count_conversations() < 60
    state = learn(folder)
    assert state.count_conversations() == whole.count_conversations() == 60
    shown = [[group.draft for group in GroupReview(one).list_groups()] for one in (whole, state)]
    assert shown[0] == shown[1]


def test_a_kill_while_groups_are_written_leaves_those_from_before(tmp_path, monkeypatch):
    state = learn(tmp_path, conversations(30))
    before = GroupReview(state).list_groups()
    read_into(state, conversations(), replace_private=keep_all)
    written = []

    def put_two(database, group, *, born):
        written.append(group)
        if len(written) > 2:
            raise Killed
        put_group(database, group, born=born)

    monkeypatch.setattr("apps.service_learning.state.put_group", put_two)
    with pytest.raises(Killed):
        find_groups(state, embeddings=EMBEDDINGS, encoder="hashed", slots=["order_number"])
    monkeypatch.undo()
    assert GroupReview(state).list_groups() == before
    find_groups(state, embeddings=EMBEDDINGS, encoder="hashed", slots=["order_number"])
    assert sum(group.draft.num_requests for group in GroupReview(state).list_groups()) == 48


def new_folder(folder, name):
    path = folder / name
    path.mkdir()
    return path
