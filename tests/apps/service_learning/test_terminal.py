"""Review in the terminal: one letter a decision, each on the disk at once."""

import contextlib

import pytest

from apps.service_learning.desk import LearningDesk
from apps.service_learning.terminal import review_groups
from tests.apps.service_learning.logs import learn
from tests.apps.service_worlds import write_service_workspace


@pytest.fixture
def desk(tmp_path):
    settings = write_service_workspace(tmp_path)
    learn(tmp_path).close()
    with contextlib.closing(LearningDesk(settings)) as desk:
        yield desk


def play(desk, *typed):
    """What is decided when a person types this, and then q."""
    answers = iter([*typed, "q"])
    return review_groups(desk, lambda _: next(answers))


def names(desk, status="open"):
    return [group.draft.name for group in desk.list_groups(status)]


def test_groups_are_named_answered_accepted_and_written(desk, tmp_path, capsys):
    assert play(desk, "n first one", "e It is free.", "a", "d", "w") == 4
    assert names(desk, "published") == ["first one"]
    assert len(names(desk, "dropped")) == len(names(desk)) == 1
    shown = capsys.readouterr().out
    for text in ("1 of 3", "16 requests of 16 people", "1 groups written into intents.csv"):
        assert text in shown
    assert "It is free." in (tmp_path / "customer_service" / "templates.yaml").read_text("utf-8")


def test_groups_are_merged_split_and_everything_is_taken_back(desk, capsys):
    before = names(desk)
    assert play(desk, "m 2", "s", "", "u", "u", "u") == 2
    assert names(desk) == before
    assert "there is nothing to take back" in capsys.readouterr().out


def test_an_answer_of_the_staff_is_taken(desk):
    answer = desk.list_groups("open")[0].draft.answers[0].text
    play(desk, "e", "else", "t 1")
    assert desk.list_groups("open")[0].draft.template == answer


@pytest.mark.parametrize("typed", ["x", "m", "m 1", "m 9", "t 9", "t x", "n \x07", "a b c"])
def test_what_is_no_choice_changes_nothing_or_is_refused(desk, typed, capsys):
    before = names(desk)
    play(desk, typed)
    if typed != "a b c":
        assert names(desk) == before
    assert capsys.readouterr().out


def test_enter_goes_on_and_ends_behind_the_last_group(desk):
    assert review_groups(desk, lambda _: "") == 0


def test_a_workspace_without_a_log_has_nothing_to_review(tmp_path, capsys):
    with contextlib.closing(LearningDesk(write_service_workspace(tmp_path))) as desk:
        assert play(desk, "a", "u") == 0
    assert "no group waits" in capsys.readouterr().out
