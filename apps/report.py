"""Report of a quickstart as one HTML file: no script, no remote resource."""

import functools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from apps.charts import draw_bars, draw_confusion, draw_trend, sum_trend
from apps.evaluate import ClassifierEvaluation
from chains.customer_service import Route, ServiceReply, ServiceScores
from chains.monitoring import Alert, MonitoringReport
from chains.recommendation import Recommendation
from llms.texts import visible_text

_WEB = Path(__file__).parent / "web"
_OURS = "tunechain"
_LARGE = 8  # labels; a larger matrix takes the width of the page

_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error (ECE)",
    "accepted_share": "accepted share",
    "accepted_accuracy": "accuracy of accepted",
}
_RECOMMENDATION_METRICS = {
    "ndcg": "NDCG",
    "ndcg_low": "NDCG low",
    "ndcg_high": "NDCG high",
    "recall": "recall",
    "coverage": "coverage",
    "intra_list_distance": "variety within a list",
    "novelty": "novelty (bits)",
}
_ALERT_FIGURES = {
    "surges_found": "surges found",
    "median_delay_hours": "median delay",
    "false_alarms": "false alarms",
    "false_alarms_per_topic_month": "false alarms per topic and month",
}

_ROUTES: dict[Route, str] = {
    "template": "approved answer",
    "curated": "matched answer",
    "answer": "from the knowledge base",
    "clarify": "question back",
    "handover": "passed to a person",
}

Translate = Callable[..., str]


class QuickstartResult(BaseModel):
    """What a run over a workspace brought; parts that the workspace has no records for are empty."""

    model_config = ConfigDict(frozen=True)

    workspace: str
    created: datetime
    seconds: float = Field(ge=0.0)
    language: str = Field(description="Of the report: en, or zh for Chinese headings.")
    classifiers: dict[str, ClassifierEvaluation] = Field(default_factory=dict)
    service_scores: ServiceScores | None = None
    conversations: tuple[tuple[str, ServiceReply], ...] = ()
    monitoring: MonitoringReport | None = Field(default=None, description="Its trend and alerts are drawn.")
    alert_scores: dict[str, float | int | None] | None = None
    recommendation_scores: dict[str, dict[str, float]] = Field(
        default_factory=dict, description='Method -> figures; "tunechain" is ours.'
    )
    example_history: tuple[str, ...] = Field(default=(), description="Titles, latest first.")
    example_list: Recommendation | None = None


def write_report(result: QuickstartResult, path: Path) -> None:
    """Write the report of a run as one HTML file; a file that is there is replaced."""
    path.write_text(render_report(result), encoding="utf-8", errors="replace")


def render_report(result: QuickstartResult) -> str:
    """Return the report as an HTML page."""
    translate = functools.partial(_translate, _words(result.language))
    alerts = result.monitoring.alerts if result.monitoring else ()
    columns, rows = _recommendation_table(result, translate)
    page: str = _template().render(
        _=translate,
        result=result,
        routes=_ROUTES,
        classifiers={name: _show_classifier(name, part, translate) for name, part in result.classifiers.items()},
        has_service=result.service_scores is not None or bool(result.conversations),
        service_figures=_service_figures(result, translate),
        has_monitoring=result.monitoring is not None or bool(result.alert_scores),
        alert_figures=_alert_figures(result, translate),
        alerts=alerts,
        trends=_draw_trends(result.monitoring, translate),
        has_recommendation=bool(result.recommendation_scores or result.example_history or result.example_list),
        recommendation_bars=_draw_recommendation(result, translate),
        recommendation_columns=columns,
        recommendation_rows=rows,
    )
    return page


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = _plain
    environment.filters["percent"] = _percent
    return environment.get_template("report.html")


def _words(language: str) -> Mapping[str, str]:
    """Return the translation of each English text; none for a language without a file of words.

    What the page says, too, is translated there; a file's own words for reports come first.
    """
    path = _WEB / f"words.{language}.json"
    if not path.exists():
        return {}
    english, words = (json.loads(file.read_text("utf-8")) for file in (_WEB / "words.en.json", path))
    shared: dict[str, str] = {text: words["page"][key] for key, text in english["page"].items()}
    shared.update(words.get("report", {}))
    return shared


def _translate(words: Mapping[str, str], text: str, **values: object) -> str:
    """Return a text of the report in its language; without a translation it stays as it is.

    Example:
        >>> _translate({"{n} seconds": "{n} 秒"}, "{n} seconds", n=3)
        '3 秒'
    """
    wanted = words.get(text, text)
    for name, value in values.items():  # one by one and not with format(), which would read braces in labels
        wanted = wanted.replace(f"{{{name}}}", str(value))
    return wanted


def _plain(text: str) -> str:
    return visible_text(text, keep_joiners=True)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _show_classifier(name: str, part: ClassifierEvaluation, translate: Translate) -> dict[str, Any]:
    methods = {"fine-tuned": part.metrics, **part.baselines}
    labels, matrix = part.report["confusion"]["labels"], part.report["confusion"]["matrix"]
    rows = [(label, row) for label, row in part.report["classes"].items()]
    rows += [(translate(f"{average} average"), row) for average, row in part.report["averages"].items()]
    return {
        "num_test_rows": part.num_test_rows,
        "num_labels": len(labels),
        "texts_per_second": f"{part.texts_per_second:,.0f}",
        "is_large": len(labels) > _LARGE,
        "columns": [translate("metric"), *(translate(method) for method in methods)],
        "metrics": [
            (translate(label), *(_number(figures.get(key)) for figures in methods.values()))
            for key, label in _METRICS.items()
            if key in part.metrics
        ],
        "classes": [
            (_plain(label), _number(row["precision"]), _number(row["recall"]), _number(row["f1"]), int(row["support"]))
            for label, row in rows
        ],
        "confusion": draw_confusion(
            [_plain(label) for label in labels],
            matrix,
            label=translate("Confusion matrix of {name}", name=translate(name)),
        ),
    }


def _service_figures(result: QuickstartResult, translate: Translate) -> list[tuple[str, str, str]]:
    """Return value, label and explanation of each score there is."""
    scores = result.service_scores
    if scores is None:
        return []
    figures = [(str(scores.num_messages), translate("messages"), "")]
    for name, field in ServiceScores.model_fields.items():
        value = getattr(scores, name)
        if name != "num_messages" and value is not None:
            figures.append((_percent(value), translate(name.replace("_", " ")), field.description or ""))
    return figures


def _alert_figures(result: QuickstartResult, translate: Translate) -> list[tuple[str, str, str]]:
    figures = []
    for name, value in (result.alert_scores or {}).items():
        if value is not None:
            unit = " h" if name.endswith("_hours") else ""
            label = _ALERT_FIGURES.get(name, name.replace("_", " "))
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            figures.append((f"{shown}{unit}", translate(label), ""))
    return figures


def _draw_trends(report: MonitoringReport | None, translate: Translate) -> list[tuple[str, Markup]]:
    """Return topic and chart, topics with alerts first."""
    points = report.trend if report else ()
    alerts: tuple[Alert, ...] = report.alerts if report else ()
    alerted = {alert.topic for alert in alerts}
    words = {word: translate(word) for word in ("alert", "posts", "negative share", "usual")}
    drawn = []
    for topic in sorted({point.topic for point in points}, key=lambda topic: (topic not in alerted, topic)):
        width, bars = sum_trend([point for point in points if point.topic == topic])
        label = translate(
            "Posts about {topic}: {n} in all, {bad} negative",
            topic=_plain(topic),
            n=sum(bar.posts for bar in bars),
            bad=sum(bar.negative for bar in bars),
        )
        own = [alert for alert in alerts if alert.topic == topic]
        drawn.append((topic, draw_trend(width, bars, own, label=label, words=words)))
    return drawn


def _draw_recommendation(result: QuickstartResult, translate: Translate) -> Markup:
    values = {
        translate(method): figures["ndcg"] for method, figures in _ordered_methods(result).items() if "ndcg" in figures
    }
    return draw_bars(values, label=translate("Quality of the order (NDCG@10; higher is better)"), ours=_OURS)


def _recommendation_table(result: QuickstartResult, translate: Translate) -> tuple[list[str], list[tuple[str, ...]]]:
    methods = _ordered_methods(result)
    known = [name for name in _RECOMMENDATION_METRICS if any(name in figures for figures in methods.values())]
    columns = [translate("method"), *(translate(_RECOMMENDATION_METRICS[name]) for name in known)]
    rows = [(translate(method), *(_number(figures.get(name)) for name in known)) for method, figures in methods.items()]
    return columns, rows


def _ordered_methods(result: QuickstartResult) -> dict[str, dict[str, float]]:
    """Return ours first, then the others, best first."""
    scores = result.recommendation_scores
    return dict(sorted(scores.items(), key=lambda item: (item[0] != _OURS, -item[1].get("ndcg", 0.0))))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
