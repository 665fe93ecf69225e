"""Reviewed entries: kept for good, put to use only if nothing gets worse, and taken back by one call."""

import shutil

import pytest

from apps import promotion
from apps.errors import WorkspaceError
from apps.promotion import retrain_service, roll_back_service
from apps.review_entries import ReviewedAnswer, ReviewedIntent, ReviewedWording, Reviews, training_rows, with_reviewed
from apps.settings import load_settings
from apps.wiring import build_customer_service
from apps.workspace_models import open_classifier
from chains.customer_service import KnownQuestion
from chains.customer_service.evaluation import ServiceScores
from tests.apps.workspaces import build_workspace

INTENT = ReviewedIntent(text="my card is gone", intent="card")
ANSWER = ReviewedAnswer(text="Do you sell bread?", answer="No, we do not.")


@pytest.fixture
def settings(tmp_path, tmp_path_factory, encoder_folder):
    """The settings of a copy of the built workspace."""
    return load_settings(shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "copy"))


@pytest.fixture
def reviews(settings):
    return Reviews(settings.records_folder(settings.customer_service))


def _scores(monkeypatch, before, after):
    """Let the two measurements give these shares."""
    empty = dict.fromkeys(ServiceScores.model_fields)
    results = [ServiceScores(**empty | {"num_messages": 9} | shares) for shares in (before, after)]
    monkeypatch.setattr(promotion, "evaluate_customer_service", lambda _: results[0])
    monkeypatch.setattr(promotion, "evaluate_service", lambda *_: results[1])


def test_entries_are_kept_in_order_and_none_is_in_use_by_itself(reviews):
    for entry in (INTENT, ANSWER):
        reviews.add(entry)
    assert reviews.entries() == [INTENT, ANSWER]
    assert reviews.in_use() == []


@pytest.mark.parametrize("text", ["one\u2028two", "one\x85two\u2029", "one\ntwo\r", "退货 💣"])
def test_an_entry_may_hold_any_end_of_line(reviews, text):
    entry = ReviewedAnswer(text=text, answer=text)
    reviews.add(entry)
    reviews.add(INTENT)
    assert reviews.entries() == [entry, INTENT]


def test_a_line_that_a_kill_cut_off_was_never_there_and_any_other_is_named(reviews, settings):
    reviews.add(INTENT)
    path = settings.records_folder(settings.customer_service) / "reviewed.jsonl"
    path.write_text(path.read_text() + '{"kind": "int', encoding="utf-8")
    assert reviews.entries() == [INTENT]
    reviews.add(ANSWER)
    assert reviews.entries() == [INTENT, ANSWER]
    path.write_text('{"kind": "poem"}\n' + INTENT.model_dump_json() + "\n", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="line 1 of"):
        reviews.entries()


def test_entries_become_rows_wordings_and_answers():
    known = [KnownQuestion(id="gift", question="Do gift cards expire?", answer="After five years.")]
    wording = ReviewedWording(text="are vouchers valid for ever", question_id="gift")
    lost = ReviewedWording(text="what", question_id="nowhere")
    book = with_reviewed(known, [INTENT, wording, ANSWER, lost])
    assert [question.id for question in book] == ["gift", "reviewed-3"]
    assert book[0].wordings == ("are vouchers valid for ever",)
    assert book[1].answer == "No, we do not."
    assert [(row.text, row.label) for row in training_rows([INTENT, ANSWER])] == [("my card is gone", "card")]


def test_nothing_new_is_refused(settings):
    with pytest.raises(WorkspaceError, match="nothing new to learn from"):
        retrain_service(settings)


def test_what_gets_better_is_promoted_and_can_be_taken_back(settings, reviews, monkeypatch):
    _scores(
        monkeypatch, {"intents_answered": 0.5, "intents_wrong": 0.1}, {"intents_answered": 0.6, "intents_wrong": 0.1}
    )
    before = open_classifier(settings, "intent").manifest.data_sha256
    reviews.add(INTENT)
    reviews.add(ANSWER)
    report = retrain_service(settings)
    assert (report.promoted, report.num_entries) == (True, 2)
    assert open_classifier(settings, "intent").manifest.data_sha256 != before
    assert build_customer_service(settings).invoke("Do you sell bread?").route == "curated"
    roll_back_service(settings)
    assert open_classifier(settings, "intent").manifest.data_sha256 == before
    assert build_customer_service(settings).invoke("Do you sell bread?").route != "curated"
    assert reviews.entries() == [INTENT, ANSWER]
    with pytest.raises(WorkspaceError, match="no earlier model"):
        roll_back_service(settings)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({"intents_answered": 0.4, "intents_wrong": 0.0}, "intents answered went from 0.500 to 0.400"),
        ({"intents_answered": 0.9, "intents_wrong": 0.2}, "intents wrong went from 0.100 to 0.200"),
    ],
)
def test_what_gets_worse_is_not_promoted(settings, reviews, monkeypatch, after, reason):
    _scores(monkeypatch, {"intents_answered": 0.5, "intents_wrong": 0.1}, after)
    before = open_classifier(settings, "intent").manifest.data_sha256
    reviews.add(INTENT)
    report = retrain_service(settings)
    assert (report.promoted, report.reason) == (False, reason)
    assert open_classifier(settings, "intent").manifest.data_sha256 == before
    assert reviews.in_use() == []
    assert sorted(path.name for path in settings.models_folder.glob("intent*")) == ["intent"]


def test_new_rows_are_learnt_without_a_reviewed_entry_and_only_once(settings, monkeypatch):
    path = settings.records_folder(settings.customer_service) / "intents.csv"
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(f"can you engrave the case {number},engraving" for number in range(6)) + "\n")
    _scores(monkeypatch, {"intents_answered": 0.5}, {"intents_answered": 0.6})
    assert retrain_service(settings).promoted
    assert "engraving" in open_classifier(settings, "intent").labels
    with pytest.raises(WorkspaceError, match="nothing new to learn from"):
        retrain_service(settings)


def test_entries_in_use_are_no_new_rows(settings, reviews, monkeypatch):
    reviews.add(INTENT)
    _scores(monkeypatch, {"intents_answered": 0.5}, {"intents_answered": 0.6})
    assert retrain_service(settings).promoted
    with pytest.raises(WorkspaceError, match="nothing new to learn from"):
        retrain_service(settings)
