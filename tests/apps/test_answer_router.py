"""The answer router of a workspace: fitted with the training, only read afterwards, and measured against its bound."""

import json
import shutil

import pytest

from apps import intent_replies, router_fitting
from apps.answer_router import ROUTER_NAME, read_budget
from apps.evaluate import check_budget, evaluate_customer_service, evaluate_scenario
from apps.intent_replies import unseen_intents
from apps.router_fitting import fit_answer_router
from apps.settings import SETTINGS_NAME, load_settings
from apps.wiring import build_customer_service
from apps.workspace_models import open_classifier
from chains.customer_service import RouteModel
from chains.customer_service.routing import ErrorPoint
from llms.classifier import HeldOutReplies
from llms.finetuning.data import LabelledText
from tests.apps.workspaces import build_workspace, write_csv

ROWS = [("where is my parcel", "track"), ("my money back", "refund")]
KNOWN = "- id: gift\n  question: Do gift cards expire?\n  answer: After five years.\n"


@pytest.fixture
def copied(tmp_path, tmp_path_factory, encoder_folder):
    """The folder of a copy of the built workspace."""
    return shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "copy")


def _break(settings):
    """Turn the router upside down: the less an answer is right, the surer it is, and everything passes."""
    path = settings.models_folder / ROUTER_NAME
    model = RouteModel.load(path)
    weights = {outcome: tuple(-weight for weight in row) for outcome, row in model.weights.items()}
    intercepts = {outcome: -9.0 if outcome == "none" else 0.0 for outcome in model.intercepts}
    curve = (ErrorPoint(threshold=0.0, right=model.num_messages, wrong=0),)
    model.model_copy(update={"weights": weights, "intercepts": intercepts, "curve": curve}).save(path)


def test_quickstart_leaves_a_router_that_says_what_it_was_fitted_on(copied):
    settings = load_settings(copied)
    model = RouteModel.load(settings.models_folder / ROUTER_NAME)
    values = json.loads((settings.models_folder / ROUTER_NAME).read_text("utf-8"))
    assert values["version"] == 1
    assert set(model.kinds) == {"intent", "article", "nothing"}
    assert all(values["origin"].values())
    assert model.origin.intent_model == open_classifier(settings, "intent").manifest.data_sha256


def test_nothing_is_fitted_when_the_service_is_opened(copied, monkeypatch):
    (copied / "customer_service" / "known_questions.yaml").write_text(
        KNOWN + "  wordings: [can a gift card run out]\n" + KNOWN.replace("gift", "dog"), encoding="utf-8"
    )
    settings = load_settings(copied)
    assert fit_answer_router(settings).known_questions.false_hit_bound > 0
    for name in ("fit_route_model", "fit_questions"):
        monkeypatch.setattr(router_fitting, name, None)  # calling it would fail
    monkeypatch.setattr("apps.known_answers.fit_known_questions", None)
    assert build_customer_service(settings).invoke("where is my parcel VT-1").text


def test_a_workspace_without_a_router_works_as_before_with_a_note(copied, caplog):
    settings = load_settings(copied)
    (settings.models_folder / ROUTER_NAME).unlink()
    (copied / "customer_service" / "known_questions.yaml").write_text(KNOWN, encoding="utf-8")
    chain = build_customer_service(settings)
    assert "tunechain service fit" in caplog.text
    assert chain.invoke("Do gift cards expire?").text == "After five years."
    assert evaluate_scenario(settings, "customer-service")["budget"] is None


def test_a_router_of_another_intent_model_or_encoder_is_not_used(copied, caplog):
    settings = load_settings(copied)
    path = settings.models_folder / ROUTER_NAME
    model = RouteModel.load(path)
    for field in ("encoder", "intent_model"):
        caplog.clear()
        model.model_copy(update={"origin": model.origin.model_copy(update={field: "another"})}).save(path)
        assert read_budget(settings) is None
        assert "another encoder or intent model" in caplog.text


def test_a_damaged_router_is_named_and_not_used(copied, caplog):
    settings = load_settings(copied)
    (settings.models_folder / ROUTER_NAME).write_text("{", encoding="utf-8")
    assert read_budget(settings) is None
    assert "is no answer router" in caplog.text


def test_changed_answers_are_told_of_and_the_router_is_used_all_the_same(copied, caplog):
    settings = load_settings(copied)
    path = copied / "customer_service" / "templates.yaml"
    path.write_text(path.read_text("utf-8").replace("five days", "six days"), encoding="utf-8")
    assert read_budget(settings) is not None
    assert "have changed since" in caplog.text


def test_a_question_written_after_the_fitting_is_answered_by_its_own_threshold(copied):
    (copied / "customer_service" / "known_questions.yaml").write_text(KNOWN, encoding="utf-8")
    reply = build_customer_service(load_settings(copied)).invoke("Do gift cards expire?")
    assert (reply.route, reply.text) == ("curated", "After five years.")


def test_the_budget_of_the_settings_is_read_off_the_fitted_router(copied):
    model, strict = read_budget(load_settings(copied))
    text = (copied / SETTINGS_NAME).read_text("utf-8")
    (copied / SETTINGS_NAME).write_text(f"{text}\n[customer_service]\nwrong_answer_budget = 0.6\n", encoding="utf-8")
    same, generous = read_budget(load_settings(copied))
    assert same == model
    assert generous.threshold < strict.threshold


def test_where_few_rows_were_held_out_every_row_is_asked_once_of_a_model_that_had_not_seen_it(copied, monkeypatch):
    settings = load_settings(copied)
    monkeypatch.setattr(intent_replies, "load_held_out", lambda _: HeldOutReplies())  # as of an earlier version
    rows = [LabelledText(f"{text} {number}", label) for number in range(8) for text, label in ROWS]
    unseen = unseen_intents(settings, rows, open_classifier(settings, "intent"))
    assert sorted(row.text for row in unseen) == sorted(row.text for row in rows)
    assert {row.guess.label for row in unseen} <= {"track", "refund"}
    monkeypatch.setattr(intent_replies, "finetune_classifier", None)  # calling it would fail
    assert unseen_intents(settings, rows, open_classifier(settings, "intent")) == unseen
    assert not list(settings.models_folder.glob(".intent-fold-*"))


def test_a_broken_router_exceeds_its_bound_on_unseen_messages(copied):
    questions = [(f"Who won the match number {number}?", "") for number in range(60)]
    write_csv(copied / "customer_service" / "questions_test.csv", ("question", "article"), questions)
    settings = load_settings(copied)
    kept = check_budget(settings, evaluate_customer_service(settings))
    assert not kept.is_exceeded
    _break(settings)
    broken = check_budget(settings, evaluate_customer_service(settings))
    assert broken.reached > broken.promised.wrong_bound
    assert broken.is_exceeded
