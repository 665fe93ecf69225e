"""Models, chains and recommenders to figures, each beside its simple baselines."""

import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from apps.readers import read_known_surges
from apps.settings import Settings
from apps.wiring import build_customer_service, open_embeddings, read_behaviour
from chains.customer_service.evaluation import ServiceQuestion, ServiceScores, evaluate_service
from chains.monitoring import AlertScores, MonitoringReport, score_alerts
from chains.recommendation import (
    EvaluationOptions,
    InterestOptions,
    RankingOptions,
    RecommendationOptions,
    RecommendationReport,
    build_baselines,
    build_recommendation_chain,
    embed_catalogue,
    evaluate_recommender,
    rank_with_chain,
    train_interest_model,
)
from llms import LocalClassifier
from llms.finetuning.records import LabelledText, read_labelled_texts
from llms.lexical import LexicalModel
from llms.metrics import classification_metrics, per_class_report
from retrievers import FaissStore

__all__ = [
    "ClassifierEvaluation",
    "evaluate_alerts",
    "evaluate_classifier",
    "evaluate_customer_service",
    "evaluate_recommendation",
    "service_questions",
]

TRAIN_SHARE = 0.8  # of the events, by time; what comes later is what a list must foresee


class ClassifierEvaluation(BaseModel):
    """A classifier on test rows, beside a linear model over character n-grams and the most frequent label."""

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    report: dict[str, Any]
    num_test_rows: int
    texts_per_second: float


def evaluate_classifier(
    classifier: LocalClassifier, *, train: Sequence[LabelledText], test: Sequence[LabelledText]
) -> ClassifierEvaluation:
    """Return the classifier's figures on `test`, and those of the baselines trained on the same `train` rows."""
    texts, expected = [row.text for row in test], [row.label for row in test]
    started = time.perf_counter()
    replies = classifier.batch(texts)
    seconds = time.perf_counter() - started
    predicted = [reply.label for reply in replies]
    accepted = [(want, reply) for want, reply in zip(expected, replies, strict=True) if reply.accepted]
    metrics = classification_metrics(expected, predicted, [reply.probability for reply in replies])
    metrics["accepted_share"] = len(accepted) / len(replies)
    metrics["accepted_accuracy"] = sum(want == reply.label for want, reply in accepted) / max(len(accepted), 1)
    return ClassifierEvaluation(
        metrics=metrics,
        baselines=_classifier_baselines(train, texts, expected),
        report=per_class_report(expected, predicted),
        num_test_rows=len(test),
        texts_per_second=len(texts) / seconds,
    )


def _classifier_baselines(
    train: Sequence[LabelledText], texts: Sequence[str], expected: Sequence[str]
) -> dict[str, dict[str, float]]:
    labels = sorted({row.label for row in train})
    linear = LexicalModel.fit([row.text for row in train], [labels.index(row.label) for row in train])
    by_words = [labels[int(i)] for i in linear.scores(texts).argmax(axis=1)]
    most_frequent = Counter(row.label for row in train).most_common(1)[0][0]
    return {
        "character TF-IDF + linear SVM": classification_metrics(expected, by_words),
        "most frequent label": classification_metrics(expected, [most_frequent] * len(expected)),
    }


def service_questions(settings: Settings) -> list[ServiceQuestion]:
    """Return the test messages of a workspace: those with an intent, and the knowledge questions if there are any."""
    folder = settings.records_folder(settings.customer_service)
    intents = read_labelled_texts(folder / "intents_test.csv", label_column="intent").rows
    questions = [ServiceQuestion(text=row.text, intent=row.label) for row in intents]
    path = folder / "questions.csv"
    if path.exists():
        with path.open(encoding="utf-8-sig", newline="") as file:
            questions += [
                ServiceQuestion(text=row["question"], article=row["article"] or None) for row in csv.DictReader(file)
            ]
    return questions


def evaluate_customer_service(settings: Settings) -> ServiceScores:
    """Return how often the workspace's chain takes the right way on its test messages."""
    return evaluate_service(build_customer_service(settings), service_questions(settings))


def evaluate_alerts(settings: Settings, report: MonitoringReport, topics: Sequence[str]) -> AlertScores | None:
    """Return delays and false alarms against the workspace's known surges; None for an empty stream."""
    times = [reading.post.time for reading in report.readings]
    if len(times) < 2:
        return None
    surges = read_known_surges(settings.records_folder(settings.monitoring) / "known_surges.csv")
    return score_alerts(report.alerts, surges, topics=topics, duration=max(times) - min(times))


def evaluate_recommendation(settings: Settings, *, num_resamples: int = 1000) -> Mapping[str, RecommendationReport]:
    """Return figures of the chain ("tunechain") and of every baseline, learnt from the first 80 % of the events."""
    catalogue, interactions = read_behaviour(settings)
    embeddings = open_embeddings(settings)
    train, test = interactions.split_by_time(TRAIN_SHARE)
    vectors = embed_catalogue(catalogue, embeddings)
    interest = train_interest_model(
        catalogue=catalogue,
        vectors=vectors,
        interactions=train,
        options=InterestOptions(seed=settings.finetuning.seed),
    )
    store = FaissStore(embedding=embeddings)
    store.add_documents([item.to_document() for item in catalogue.values()], ids=list(catalogue))
    chain = build_recommendation_chain(
        catalogue=catalogue,
        embeddings=embeddings,
        store=store,
        interactions=train,
        interest=interest,
        options=RecommendationOptions(ranking=RankingOptions(diversity=settings.recommendation.diversity)),
    )
    methods = {"tunechain": rank_with_chain(chain)}
    methods |= build_baselines(catalogue=catalogue, vectors=vectors, train=train)
    options = EvaluationOptions(num_resamples=num_resamples)
    return {
        name: evaluate_recommender(rank, train=train, test=test, vectors=vectors, options=options)
        for name, rank in methods.items()
    }


def write_classifier_report(evaluation: ClassifierEvaluation, path: Path) -> None:
    """Write the figures as JSON beside the model."""
    path.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
