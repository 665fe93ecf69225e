"""Quickstart: train, index, run and report over a workspace in one call."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from apps.console import (
    errors,
    output,
    print_alert,
    print_figures,
    print_left_out,
    print_recommendation,
    print_rejected,
    print_reply,
    print_warning,
)
from apps.errors import WorkspaceError
from apps.evaluate import (
    ClassifierEvaluation,
    alert_figures,
    evaluate_alerts,
    evaluate_recommendation,
    evaluate_workspace_classifier,
    recommendation_figures,
    service_questions,
)
from apps.model_offer import choose_encoder
from apps.readers import read_catalogue, read_events, read_posts
from apps.report import QuickstartResult, write_report
from apps.router_fitting import refit_answer_router
from apps.settings import SETTINGS_NAME, Settings, load_settings
from apps.training import (
    CLASSIFIERS,
    export_encoders,
    index_items,
    index_knowledge,
    labelled_rows,
    train_interest,
    train_workspace_classifier,
)
from apps.wiring import build_customer_service, build_monitoring, build_recommendation, read_behaviour, scenarios
from apps.workspace import Language, create_workspace, refuse_used_folder
from chains.customer_service import ServiceReply, ServiceRequest, ServiceScores, evaluate_service
from chains.monitoring import MonitoringReport, MonitoringRequest
from chains.recommendation import Recommendation, RecommendationRequest

_NUM_EXAMPLES = 3  # conversations of each kind in the report


def run_quickstart(
    folder: Path, *, language: Language = "en", add_encoder: bool | None = False, show_results: bool = True
) -> dict[str, Any]:
    """Train, run and measure everything a workspace has records for; return `report` and `metrics`.

    A workspace without settings is made with sample records first. Running it again trains again and replaces
    the models at the end of each training; records and settings are never touched.

    Args:
        folder: the workspace.
        language: of the sample records of a new one.
        add_encoder: as `apps.model_offer.choose_encoder` takes it, for a new one.
        show_results: print figures and examples.
    """
    started = time.perf_counter()
    if not (folder / SETTINGS_NAME).exists():
        refuse_used_folder(folder)
        encoder = choose_encoder(language, folder, add=add_encoder)
        with _step(f"making a workspace with sample records in {folder}"):
            create_workspace(folder, language=language, encoder=encoder)
    settings = load_settings(folder)
    if not scenarios(settings):
        msg = f"{folder} holds no records; see the folders that tunechain init makes in a new workspace"
        raise WorkspaceError(msg)
    parts: dict[str, Any] = {"classifiers": {}}
    for name in scenarios(settings):
        parts |= _RUNNERS[name](settings, parts["classifiers"])
    result = QuickstartResult(
        workspace=str(folder),
        created=datetime.now(UTC),
        seconds=time.perf_counter() - started,
        language=settings.language,
        **parts,
    )
    report = folder / "report.html"
    write_report(result, report)
    if show_results:
        _show(result)
        text = f"\nThe whole report: {report}\nTry: tunechain ask -w {folder}   ·   tunechain serve -w {folder}"
        output.print(Text(text), soft_wrap=True)
    return {"report": str(report), "metrics": _metrics(result), "seconds": round(result.seconds, 1)}


def _run_customer_service(settings: Settings, evaluations: dict[str, ClassifierEvaluation]) -> dict[str, Any]:
    evaluations["intent"] = _train(settings, "intent")
    with _step("indexing the knowledge base"):
        print_left_out(index_knowledge(settings))
    with _step("fitting the answer router on held-out messages"):
        refit_answer_router(settings, print_warning)
    with _step("answering customers"):
        chain = build_customer_service(settings)
        questions = service_questions(settings)
        scores: ServiceScores = evaluate_service(chain, questions)
        kinds = (
            [question for question in questions if question.intent],
            [question for question in questions if question.article],
            [question for question in questions if not question.intent and not question.article],
        )
        texts = [question.text for kind in kinds for question in kind[:_NUM_EXAMPLES]]
        replies: list[ServiceReply] = chain.batch([ServiceRequest(text=text) for text in texts])
    with _step("exporting the encoders, so that answers begin sooner"):
        export_encoders(settings)
    return {"service_scores": scores, "conversations": tuple(zip(texts, replies, strict=True))}


def _run_monitoring(settings: Settings, evaluations: dict[str, ClassifierEvaluation]) -> dict[str, Any]:
    for name in ("topic", "sentiment"):
        evaluations[name] = _train(settings, name)
    path = settings.records_folder(settings.monitoring) / "stream.jsonl"
    posts, rejected = read_posts(path)
    print_rejected(rejected, str(path))
    with _step(f"watching a stream of {len(posts):,} posts"):
        report: MonitoringReport = build_monitoring(settings).invoke(MonitoringRequest(posts=tuple(posts)))
        scores = alert_figures(evaluate_alerts(settings, report))
    return {"monitoring": report.model_copy(update={"readings": ()}), "alert_scores": scores}


def _run_recommendation(settings: Settings, _: dict[str, ClassifierEvaluation]) -> dict[str, Any]:
    folder = settings.records_folder(settings.recommendation)
    known, rejected = read_catalogue(folder / "items.csv")
    print_rejected(rejected, str(folder / "items.csv"))
    print_rejected(read_events(folder / "events.csv", known)[1], str(folder / "events.csv"))
    with _step("measuring recommendations on the latest fifth of the events"):
        figures = recommendation_figures(evaluate_recommendation(settings))
    with _step("learning from all events"):
        train_interest(settings)
        index_items(settings)
    with _step("recommending"):
        catalogue, interactions = read_behaviour(settings)
        user = interactions.events[-1].user
        chosen: Recommendation = build_recommendation(settings).invoke(RecommendationRequest(user=user, k=8))
        recent = dict.fromkeys(event.item for event in reversed(interactions.history(user)))
        history = tuple(catalogue[item].title for item in list(recent)[:8])
    return {"recommendation_scores": figures, "example_history": history, "example_list": chosen}


_RUNNERS = {
    "customer_service": _run_customer_service,
    "monitoring": _run_monitoring,
    "recommendation": _run_recommendation,
}


def _train(settings: Settings, name: str) -> ClassifierEvaluation:
    with _step(f"fine-tuning the {name} classifier ({CLASSIFIERS[name][1]})"):
        print_rejected(labelled_rows(settings, name).rejected, CLASSIFIERS[name][1])
        train_workspace_classifier(settings, name, show_progress=errors.is_terminal)
        return evaluate_workspace_classifier(settings, name)


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.perf_counter()
    errors.print(Text(f"· {title} …"), soft_wrap=True)
    yield
    errors.print(f"  {time.perf_counter() - started:.1f} s", style="dim", highlight=False)


def _metrics(result: QuickstartResult) -> dict[str, Any]:
    classifiers = {
        name: {"metrics": evaluation.metrics, "baselines": evaluation.baselines}
        for name, evaluation in result.classifiers.items()
    }
    return {
        **classifiers,
        "customer_service": result.service_scores.model_dump() if result.service_scores else None,
        "monitoring": result.alert_scores,
        "recommendation": result.recommendation_scores,
    }


def _show(result: QuickstartResult) -> None:
    for name, evaluation in result.classifiers.items():
        print_figures(f"{name} classifier", {"tunechain": evaluation.metrics, **evaluation.baselines})
    for text, reply in result.conversations[::_NUM_EXAMPLES]:
        output.print(Text.assemble(("\ncustomer: ", "bold"), text))
        print_reply(reply)
    for alert in result.monitoring.alerts if result.monitoring else ():
        print_alert(alert)
    if result.recommendation_scores:
        print_figures("recommendation, next fifth of the events", result.recommendation_scores)
    if result.example_list:
        print_recommendation(result.example_list)
