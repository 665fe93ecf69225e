"""Figures of a workspace, each beside its baselines."""

import json
import shutil
from datetime import timedelta

import numpy as np
import pytest

from apps.evaluate import (
    alert_figures,
    evaluate_alerts,
    evaluate_classifier,
    evaluate_scenario,
    evaluate_shown_lists,
    replay_figures,
    service_questions,
)
from apps.settings import load_settings
from apps.wiring import build_event_recorder
from apps.workspace_models import open_classifier
from chains.customer_service.evaluation import ServiceQuestion, ServiceScores
from chains.errors import ChainInputError
from chains.monitoring import Alert, AlertScores, MonitoringReport, Post, Reading
from llms import Classification
from llms.errors import DataFileError, TrainingDataError
from llms.fakes import FixedClassifier
from llms.finetuning.data.examples import LabelledText
from retrievers import Event
from tests.apps.conftest import STREAM_START
from tests.apps.workspaces import START, build_workspace, load_built, write_csv, write_workspace


@pytest.fixture
def built(tmp_path_factory, encoder_folder):
    """The settings of a workspace after its quickstart; do not change it."""
    return load_built(tmp_path_factory, encoder_folder)


@pytest.fixture
def copied(tmp_path, tmp_path_factory, encoder_folder):
    """The settings of a copy of the built workspace, to be changed."""
    folder = build_workspace(tmp_path_factory, encoder_folder)
    return load_settings(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("models", "index")))


def test_figures_of_a_classifier_are_those_worked_out_by_hand():
    rows = [("refund a", "refund"), ("refund b", "refund"), ("card c", "card"), ("card d", "refund"), ("e", "card")]
    test = [LabelledText(text, label) for text, label in rows]
    train = [LabelledText(f"refund {n}", "refund") for n in range(6)] + [
        LabelledText(f"card {n}", "card") for n in "xyz"
    ]
    classifier = FixedClassifier({"refund": "refund", "card": "card"}, default="refund")
    evaluation = evaluate_classifier(classifier, train=train, test=test)
    assert evaluation.num_test_rows == 5
    assert evaluation.metrics["accuracy"] == pytest.approx(3 / 5)
    assert evaluation.metrics["accepted_share"] == pytest.approx(4 / 5)  # "e" holds no known word
    assert evaluation.metrics["accepted_accuracy"] == pytest.approx(3 / 4)
    assert evaluation.baselines["most frequent label"]["accuracy"] == pytest.approx(3 / 5)
    assert evaluation.baselines["character TF-IDF + linear SVM"]["accuracy"] >= 3 / 5
    assert evaluation.texts_per_second > 0
    assert [reply.label for reply in evaluation.replies] == ["refund", "refund", "card", "card", "refund"]
    assert "replies" not in evaluation.model_dump()


@pytest.mark.parametrize("what", ["intent", "topic", "sentiment", "customer-service", "monitoring", "recommendation"])
def test_every_scenario_has_metrics_and_baselines_that_are_plain_json(built, what):
    outcome = evaluate_scenario(built, what)
    assert set(outcome) - {"budget"} == {"metrics", "baselines"}
    assert ("budget" in outcome) == (what == "customer-service")
    assert outcome["metrics"]
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
    assert bool(outcome["baselines"]) == (what not in ("customer-service", "monitoring"))


def test_other_test_rows_may_be_given_for_a_classifier(built, tmp_path):
    data = write_csv(tmp_path / "rows.csv", ("text", "intent"), [("where is my parcel", "track")])
    accuracy = evaluate_scenario(built, "intent", data)["metrics"]["accuracy"]
    assert accuracy in (0.0, 1.0)
    with pytest.raises(DataFileError, match="'topic' is needed"):
        evaluate_scenario(built, "topic", data)


def test_questions_are_the_test_intents_and_the_knowledge_questions(copied):
    questions = service_questions(copied)
    assert len(questions) == 11
    assert questions[-2] == ServiceQuestion(text="How full should the battery be?", article="battery.md")
    assert questions[-1] == ServiceQuestion(text="Who won the match?")
    path = copied.workspace / "customer_service" / "questions.csv"
    path.write_text("question,page\na,b\n", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"questions\.csv .*'article' is needed"):
        service_questions(copied)
    path.unlink()
    assert len(service_questions(copied)) == 9
    write_csv(path.with_name("questions_test.csv"), ("question", "article"), [("Is it cold?", "")])
    write_csv(path, ("question", "article"), [("Is it warm?", "")])
    assert [question.text for question in service_questions(copied)[9:]] == ["Is it cold?"]


def test_an_empty_stream_has_no_figures_of_alerts(built):
    assert evaluate_alerts(built, MonitoringReport()) is None
    assert alert_figures(None) == {}


def test_the_warm_up_is_not_watched(built):
    def read(at):
        post = Post(id=f"{at}", source="forum", text="app", time=STREAM_START + at)
        kind = Classification(label="negative", probability=1.0, probabilities={"negative": 1.0})
        return Reading(post=post, topic=kind, sentiment=kind)

    short = MonitoringReport(readings=(read(timedelta(0)), read(timedelta(days=7))))
    assert evaluate_alerts(built, short) is None
    report = MonitoringReport(readings=(read(timedelta(0)), read(timedelta(days=37))))
    topic = open_classifier(built, "topic").labels[0]
    alert = Alert(
        id="1",
        topic=topic,
        since=STREAM_START + timedelta(days=8),
        raised_at=STREAM_START + timedelta(days=9),
        negative_share=0.5,
        baseline_share=0.1,
        size=10,
        causes=(),
        track="share",
        reason="",
    )
    scores = evaluate_alerts(built, report.model_copy(update={"alerts": (alert,)}))
    num_topics = len(open_classifier(built, "topic").labels)
    assert scores.false_alarms_per_topic_month == pytest.approx(scores.false_alarms / num_topics)


def test_figures_of_alerts_are_named():
    scores = AlertScores(delay_hours=(4.0, None), found=1, false_alarms=2, false_alarms_per_topic_month=0.5)
    assert alert_figures(scores) == {
        "surges_found": 1,
        "median_delay_hours": None,
        "false_alarms": 2,
        "false_alarms_per_topic_month": 0.5,
    }


def test_a_recommender_is_not_measured_on_events_that_cannot_be_cut(copied):
    events = [(f"u{n}", "i1", "view", "2026-03-02T00:00:00Z") for n in range(9)]
    write_csv(copied.workspace / "recommendation" / "events.csv", ("user", "item", "event", "time"), events)
    with pytest.raises(TrainingDataError, match=r"events\.csv is too short"):
        evaluate_scenario(copied, "recommendation")


def test_shown_lists_are_replayed_against_what_is_learnt_from_before_them(copied):
    with pytest.raises(ChainInputError, match="exploration_share"):
        evaluate_shown_lists(copied, num_resamples=20)
    record_shown_lists(copied)
    figures = replay_figures(evaluate_shown_lists(copied, num_resamples=20))
    assert list(figures) == ["tunechain", "popularity of 30 days", "as shown"]
    json.dumps(figures)
    assert figures["as shown"]["num_places"] == figures["as shown"]["num_matching"] == 20 * 6
    assert figures["as shown"]["value"] == pytest.approx(20 / (20 * 6))  # one click in each list
    for of_method in figures.values():
        assert of_method["num_lists"] == 20
        assert 0 <= of_method["effective_size"] <= of_method["num_matching"] <= 120
        assert of_method["value"] is None or 0 <= of_method["low"] <= of_method["value"] <= of_method["high"] <= 1
    assert figures["popularity of 30 days"]["num_matching"] > 0


def record_shown_lists(settings):
    """Show six random items to each of 20 people after all other events, one of which they click."""
    rng = np.random.default_rng(0)
    begin = START + timedelta(hours=1200)
    events = []
    for number in range(20):
        time = begin + timedelta(minutes=number)
        items = rng.permutation(16)[:6].tolist()
        shown = {"user": f"u{number}", "time": time, "list_id": f"l{number}"}
        events += [
            Event(**shown, item=f"i{item}", event="show", place=place, propensity=1 / (17 - place))
            for place, item in enumerate(items, start=1)
        ]
        events.append(Event(user=f"u{number}", item=f"i{items[2]}", event="click", time=time + timedelta(seconds=30)))
    recorder = build_event_recorder(settings, clock=lambda: begin + timedelta(days=1))
    assert recorder.record(events).num_recorded == len(events)
    recorder.log.close()


def test_scores_of_the_service_have_the_fields_of_their_schema(built):
    scores = ServiceScores.model_validate(evaluate_scenario(built, "customer-service")["metrics"])
    assert scores.num_messages == 11


def test_a_workspace_without_records_of_a_use_case_says_which_file_is_missing(tmp_path, encoder_folder):
    settings = load_settings(write_workspace(tmp_path / "w", encoder_folder))
    shutil.rmtree(settings.workspace / "recommendation")
    with pytest.raises(DataFileError, match=r"there is no file .*items\.csv"):
        evaluate_scenario(settings, "recommendation")
