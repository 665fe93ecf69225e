"""What an earlier version wrote is read by the code at hand, and answers as it did then."""

import json

import pytest

from tests.written_before import ARCHIVE, EXPECTED, QUESTIONS, flatten, unpack


@pytest.fixture
def expected():
    """What the earlier version answered."""
    return json.loads(EXPECTED.read_text("utf-8"))


@pytest.fixture(autouse=True)
def _unpacked(tmp_path, monkeypatch):
    """The files, unpacked into the current folder: opening may write."""
    monkeypatch.chdir(unpack(ARCHIVE, tmp_path))


@pytest.fixture(autouse=True)
def _cosines_from_nothing(monkeypatch):
    """That version counted cosines from 0, and its tiny encoders give unrelated texts large ones."""
    for user in ("retrievers.hybrid", "chains.customer_service.quoting"):
        monkeypatch.setattr(f"{user}.find_cosine_floor", lambda _embeddings, _text: 0.0)


def _assert_answers_as_before(name, expected):
    # the differences of processors are far smaller than any mistake in reading
    assert flatten(QUESTIONS[name]()) == pytest.approx(flatten(expected[name]), abs=1e-3)


def test_a_workspace_answers_as_before(expected):
    _assert_answers_as_before("workspace", expected)


def test_a_promoted_service_goes_back_to_the_one_before(expected):
    _assert_answers_as_before("promotion", expected)


def test_stores_find_what_they_found(expected):
    _assert_answers_as_before("store", expected)


def test_trained_models_answer_as_before(expected):
    _assert_answers_as_before("models", expected)


def test_a_chat_model_and_its_adapter_say_what_they_said(expected):
    _assert_answers_as_before("chat", expected)


def test_conversations_keys_and_feedback_are_all_there(expected):
    _assert_answers_as_before("conversations", expected)


def test_conversations_go_on_where_they_stood(expected):
    _assert_answers_as_before("going on", expected)


def test_a_recipe_repeats_its_training(expected):
    _assert_answers_as_before("recipe", expected)


def test_every_question_is_asked_here(expected):
    assert list(QUESTIONS) == list(expected)
