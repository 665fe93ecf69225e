"""Evaluation of models, chains and recommenders, each beside its simple baselines."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from apps.answer_router import read_budget
from apps.readers import read_known_surges, read_posts, warn_of_rejected
from apps.settings import Settings
from apps.training import CLASSIFIERS, fit_interest, labelled_rows
from apps.wiring import build_customer_service, build_monitoring, read_behaviour
from apps.workspace_models import open_classifier, open_embeddings
from chains.customer_service import (
    AnswerBudget,
    KnownQuestionsFit,
    ServiceQuestion,
    ServiceScores,
    evaluate_service,
)
from chains.monitoring import AlertScores, MonitoringReport, MonitoringRequest, score_alerts
from chains.recommendation import (
    BehaviourRecord,
    EvaluationOptions,
    PastRecord,
    RankingOptions,
    RecommendationChain,
    RecommendationOptions,
    RecommendationReport,
    RecommendationRequest,
    ReplayOptions,
    ReplayReport,
    build_baselines,
    build_recommendation_chain,
    collect_places,
    embed_catalogue,
    evaluate_recommender,
    rank_with_chain,
    replay_lists,
)
from llms import Classification, LocalClassifier
from llms.classifier import LexicalModel
from llms.errors import TrainingDataError
from llms.finetuning import read_labelled_texts
from llms.finetuning.data import LabelledText, read_table
from llms.metrics import classification_metrics, clopper_pearson_lower_bound, per_class_report
from retrievers import UNWANTED_KINDS, EventKind, Interactions, ItemCatalogue

TRAIN_SHARE = 0.8  # of the events, by time; what comes later is what a list must foresee
POPULARITY_DAYS = 30.0


class ClassifierEvaluation(BaseModel):
    """A classifier on test rows, beside a linear model over character n-grams and the most frequent label.

    Attributes:
        replies: one for each test row; no part of what is written.
    """

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    report: dict[str, Any]
    num_test_rows: int
    texts_per_second: float
    replies: tuple[Classification, ...] = Field(default=(), exclude=True, repr=False)


class BudgetCheck(BaseModel):
    """The budget of wrong answers: what held-out messages prove of it, and what was reached on unseen ones.

    Attributes:
        promised: budget, threshold and bound, as `tunechain quickstart` or `tunechain service fit` fitted them.
        known_questions: the same of known questions alone, for `false_hit_budget`.
        reached: share of the test messages that got a wrong answer.
        num_messages: how many test messages there were.
        is_exceeded: whether so many wrong answers are hardly chance any more: their share, less what chance may add,
            lies above the bound. Then these messages are of another kind than those it was fitted on.
    """

    model_config = ConfigDict(frozen=True)

    promised: AnswerBudget
    known_questions: KnownQuestionsFit | None
    reached: float
    num_messages: int
    is_exceeded: bool


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
    if accepted:
        metrics["accepted_accuracy"] = sum(want == reply.label for want, reply in accepted) / len(accepted)
    return ClassifierEvaluation(
        metrics=metrics,
        baselines=_classifier_baselines(train, texts, expected),
        report=per_class_report(expected, predicted),
        num_test_rows=len(test),
        texts_per_second=len(texts) / seconds,
        replies=tuple(replies),
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
    """Return the test messages of a workspace: those with an intent, and the knowledge questions if there are any.

    The questions are those of `questions_test.csv`, or of `questions.csv` where there is no such file.
    """
    folder = settings.records_folder(settings.customer_service)
    intents = read_labelled_texts(folder / "intents_test.csv", label_column="intent").rows
    questions = [ServiceQuestion(text=row.text, intent=row.label) for row in intents]
    path = folder / "questions_test.csv"
    if not path.exists():
        path = folder / "questions.csv"
    return [*questions, *read_knowledge_questions(path)] if path.exists() else questions


def read_knowledge_questions(path: Path) -> list[ServiceQuestion]:
    """Return the questions of a CSV file with the columns question and article; an empty article: nothing answers."""
    rows = read_table(path, ["question", "article"]).rows
    return [ServiceQuestion(text=row.values["question"], article=row.values["article"] or None) for row in rows]


def evaluate_customer_service(settings: Settings) -> ServiceScores:
    """Return how often the workspace's chain takes the right way on its test messages."""
    return evaluate_service(build_customer_service(settings), service_questions(settings))


def check_budget(settings: Settings, scores: ServiceScores) -> BudgetCheck | None:
    """Return whether the test messages bear out what the answer router promises; None without a fitted router."""
    fitted = read_budget(settings)
    if fitted is None or scores.answered_wrong is None:
        return None
    model, promised = fitted
    num_wrong = round(scores.answered_wrong * scores.num_messages)
    low = clopper_pearson_lower_bound(num_wrong, scores.num_messages, promised.confidence)
    return BudgetCheck(
        promised=promised,
        known_questions=model.known_questions,
        reached=scores.answered_wrong,
        num_messages=scores.num_messages,
        is_exceeded=low > max(promised.wrong_bound, promised.budget),
    )


def evaluate_alerts(settings: Settings, report: MonitoringReport) -> AlertScores | None:
    """Return delays and false alarms against the workspace's known surges; None if the stream ends with the warm-up.

    What lies in the warm-up, in which no alert can come, is neither watched nor missed.
    """
    times = [reading.post.time for reading in report.readings]
    if not times:
        return None
    begin = min(times) + timedelta(days=settings.monitoring.warm_up_days)
    duration = max(times) - begin
    if duration <= timedelta(0):
        return None
    surges = read_known_surges(settings.records_folder(settings.monitoring) / "known_surges.csv")
    topics = open_classifier(settings, "topic").labels
    watched = [surge for surge in surges if surge.end > begin]
    alerts = [alert for alert in report.alerts if alert.topic in topics]
    return score_alerts(alerts, watched, topics=topics, duration=duration)


def evaluate_recommendation(settings: Settings, *, num_resamples: int = 1000) -> Mapping[str, RecommendationReport]:
    """Return figures of the chain ("tunechain") and of every baseline, learnt from the first 80 % of the events."""
    catalogue, interactions = read_behaviour(settings)
    train, test = _split(interactions)
    # as if it were the end of the first part, and without what was used before: only what is new is foreseen
    chain = _learn_chain(settings, catalogue, train, clock=lambda: train.now, look_again_days=math.inf)
    vectors = chain.item_models.vectors
    methods = {"tunechain": rank_with_chain(chain)}
    methods |= build_baselines(catalogue=catalogue, vectors=vectors, train=train)
    options = EvaluationOptions(num_resamples=num_resamples)
    return {
        name: evaluate_recommender(rank, train=train, test=test, vectors=vectors, options=options)
        for name, rank in methods.items()
    }


def evaluate_shown_lists(settings: Settings, *, num_resamples: int = 1000) -> Mapping[str, ReplayReport]:
    """Return what the shown lists of the last 20 % of the events earned, and what others would have earned there.

    These are the lists of a chain ("tunechain") and of what is popular, both learnt from the first 80 %.

    Raises:
        ChainInputError: if no list was shown there with the propensities of its places.
    """
    catalogue, interactions = read_behaviour(settings)
    train, test = _split(interactions)
    places = collect_places(test.events)
    record = PastRecord(interactions)
    pause = settings.recommendation.look_again_days
    chain = _learn_chain(settings, catalogue, train, clock=lambda: record.moment, look_again_days=pause, record=record)

    def by_chain(user: str, moment: datetime, k: int) -> Sequence[str]:
        record.moment = moment
        return [item.id for item in chain.invoke(RecommendationRequest(user=user, k=k)).items]

    def by_popularity(user: str, moment: datetime, _: int) -> Sequence[str]:
        record.moment = moment
        past = record.history(user)
        never = {event.item for event in past if event.event is EventKind.BUY or event.event in UNWANTED_KINDS}
        counts = record.popularity(POPULARITY_DAYS, moment)
        return [item for item in sorted(counts, key=lambda item: -counts[item]) if item not in never]

    options = ReplayOptions(num_resamples=num_resamples)
    ours, shown = replay_lists(by_chain, places, options)
    popular, _ = replay_lists(by_popularity, places, options)
    return {"tunechain": ours, f"popularity of {POPULARITY_DAYS:g} days": popular, "as shown": shown}


def _split(interactions: Interactions) -> tuple[Interactions, Interactions]:
    try:
        return interactions.split_by_time(TRAIN_SHARE)
    except ValueError as error:
        msg = f"events.csv is too short to learn from its first part and be measured on its last: {error}"
        raise TrainingDataError(msg) from error


def _learn_chain(
    settings: Settings,
    catalogue: ItemCatalogue,
    train: Interactions,
    *,
    clock: Callable[[], datetime],
    look_again_days: float,
    record: BehaviourRecord | None = None,
) -> RecommendationChain:
    embeddings = open_embeddings(settings)
    vectors = embed_catalogue(catalogue, embeddings)
    return build_recommendation_chain(
        catalogue=catalogue,
        embeddings=embeddings,
        interactions=train,
        interest=fit_interest(settings, catalogue=catalogue, vectors=vectors, interactions=train),
        clock=clock,
        record=record,
        options=RecommendationOptions(
            ranking=RankingOptions(diversity=settings.recommendation.diversity), look_again_days=look_again_days
        ),
    )


def evaluate_scenario(settings: Settings, what: str, data: Path | None = None) -> dict[str, Any]:
    """Return `metrics` and `baselines` of a classifier or use case of the workspace; see `tunechain evaluate`.

    Customer service has a `budget` beside them, see `BudgetCheck`; None without a fitted router.
    """
    if what in CLASSIFIERS:
        evaluation = evaluate_workspace_classifier(settings, what, data)
        return {"metrics": evaluation.metrics, "baselines": evaluation.baselines}
    if what == "customer-service":
        scores = evaluate_customer_service(settings)
        budget = check_budget(settings, scores)
        return {"metrics": scores.model_dump(), "baselines": {}, "budget": budget and budget.model_dump()}
    if what == "monitoring":
        return {"metrics": _alert_figures(settings), "baselines": {}}
    figures = recommendation_figures(evaluate_recommendation(settings))
    return {"metrics": figures.pop("tunechain"), "baselines": figures}


def evaluate_workspace_classifier(settings: Settings, name: str, data: Path | None = None) -> ClassifierEvaluation:
    """Return the figures of one of the workspace's classifiers on its test rows, or on those in `data`."""
    column = CLASSIFIERS[name][3]
    test = read_labelled_texts(data, label_column=column) if data else labelled_rows(settings, name, test=True)
    return evaluate_classifier(
        open_classifier(settings, name), train=labelled_rows(settings, name).rows, test=test.rows
    )


def recommendation_figures(reports: Mapping[str, RecommendationReport]) -> dict[str, dict[str, float]]:
    """Return the figures of each method by name, without those of single users."""
    names = ("ndcg", "ndcg_low", "ndcg_high", "recall", "coverage", "intra_list_distance", "novelty")
    return {method: {name: getattr(report, name) for name in names} for method, report in reports.items()}


def replay_figures(reports: Mapping[str, ReplayReport]) -> dict[str, dict[str, float | None]]:
    """Return the figures of a replay by method."""
    return {method: asdict(report) for method, report in reports.items()}


def alert_figures(scores: AlertScores | None) -> dict[str, float | None]:
    """Return the figures of alerts by name."""
    if scores is None:
        return {}
    return {
        "surges_found": scores.found,
        "median_delay_hours": scores.median_delay_hours,
        "false_alarms": scores.false_alarms,
        "false_alarms_per_topic_month": scores.false_alarms_per_topic_month,
    }


def _alert_figures(settings: Settings) -> dict[str, float | None]:
    path = settings.records_folder(settings.monitoring) / "stream.jsonl"
    posts, rejected = read_posts(path)
    warn_of_rejected(path, rejected)
    report = build_monitoring(settings).invoke(MonitoringRequest(posts=tuple(posts)))
    return alert_figures(evaluate_alerts(settings, report))
