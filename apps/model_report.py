"""Report of a fine-tuning run as one HTML file: no script, no remote resource."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from apps.charts import draw_bars, draw_confusion
from apps.model_charts import draw_lines, draw_reliability, pick_confused
from llms.files import replace_text
from llms.finetuning import TrainingReport
from llms.finetuning.report import (
    TASK_WORDS,
    ScoreTable,
    describe_duration,
    describe_limits,
    describe_metric,
    describe_parameters,
    describe_size,
    describe_thresholds,
    format_figure,
    is_lower_better,
    plain_text,
    show_base_model,
)
from llms.metrics import clopper_pearson_bounds

PAGE_NAME = "report.html"
_WEB = Path(__file__).parent / "web"
_OURS = "this model"
_MAX_LABELS = 30  # of a confusion matrix that can still be read
_LARGE = 8  # labels; a larger matrix takes the width of the page
_MAX_TILES, _MAX_BARS = 4, 4
_FIRST_ERRORS = 12  # the others are folded away
# what trainers log beside losses and scores
_NO_SCORES = re.compile("learning_rate|grad_norm|total_flos|.*_(runtime|per_second)|train_.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Classes:
    """A table of labels or entities, ready to show."""

    rows: list[dict[str, Any]]
    averages: list[tuple[str, ...]]
    confusion: Markup | None
    confusion_note: str
    is_large: bool


def write_model_report(report: TrainingReport, folder: Path) -> Path:
    """Write `report.html` into a model's folder and return its path; one that is there is replaced.

    Raises:
        ModelNotFoundError: if there is no such folder.
    """
    path = folder / PAGE_NAME
    replace_text(path, render_model_report(report))
    return path


def render_model_report(report: TrainingReport) -> str:
    """Return the report as an HTML page."""
    environment = Environment(
        loader=FileSystemLoader(_WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = plain_text
    environment.filters["figure"] = format_figure
    environment.filters["shares"] = _shares
    page: str = environment.get_template("model_report.html").render(
        report=report,
        base=show_base_model(report.base_model)[0],
        kind=TASK_WORDS[report.task],
        duration=describe_duration(report.seconds),
        tiles=_tiles(report),
        bars=_draw_figures(report),
        figures=_figures(report),
        curves=_draw_curves(report),
        reliability=_draw_reliability(report),
        tables=[
            (heading, _show_table(table))
            for heading, table in (("Labels", report.per_class), ("Entities", report.entities))
            if table and table.classes
        ],
        first_errors=report.errors[:_FIRST_ERRORS],
        other_errors=report.errors[_FIRST_ERRORS:],
        promises=describe_thresholds(report.thresholds),
        data=_show_data(report.data),
        warnings=_warnings(report.data),
        limits=describe_limits(report),
    )
    return page


def _shares(words: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return each word with its weight as a share of the strongest one's, -1 to 1."""
    strongest = max((abs(weight) for _, weight in words), default=0.0) or 1.0
    return [(word, round(weight / strongest, 2)) for word, weight in words]


def _tiles(report: TrainingReport) -> list[tuple[str, str, str]]:
    """Return value, label and note of the figures that come first."""
    tiles = [
        (format_figure(value), describe_metric(name), _explain(report, name, value))
        for name, value in list(report.metrics.items())[:_MAX_TILES]
    ]
    tiles.append((describe_duration(report.seconds), "training and evaluation", ""))
    parameters = describe_parameters(report.parameters.trainable, report.parameters.total)
    tiles.append((describe_size(report.size_bytes), "size of the folder", parameters))
    return tiles


def _explain(report: TrainingReport, name: str, value: float) -> str:
    if name == "accuracy" and report.rows.test and 0 <= value <= 1:
        low, high = clopper_pearson_bounds(round(value * report.rows.test), report.rows.test)
        return f"95 % sure to lie between {low:.3f} and {high:.3f}, from {report.rows.test:,} test rows"
    return "lower is better" if is_lower_better(name) else ""


def _draw_figures(report: TrainingReport) -> list[tuple[str, Markup]]:
    """Return heading and bars of each figure that a baseline has, too."""
    drawn = []
    for name, value in report.metrics.items():
        others = {method: figures[name] for method, figures in report.baselines.items() if name in figures}
        values = {_OURS: value, **{plain_text(method): other for method, other in others.items()}}
        finite = {method: number for method, number in values.items() if format_figure(number) != "–"}
        if others and _OURS in finite:
            better = "lower" if is_lower_better(name) else "higher"
            heading = f"{describe_metric(name)} ({better} is better)"
            drawn.append((heading, draw_bars(finite, label=f"{heading}, beside simple methods", ours=_OURS)))
    return drawn[:_MAX_BARS]


def _figures(report: TrainingReport) -> tuple[list[str], list[tuple[str, ...]]]:
    methods = {_OURS: report.metrics, **{plain_text(name): figures for name, figures in report.baselines.items()}}
    names = dict.fromkeys(name for figures in methods.values() for name in figures)
    rows = [
        (describe_metric(name), *(format_figure(figures.get(name)) for figures in methods.values())) for name in names
    ]
    return ["metric", *methods], rows


def _draw_curves(report: TrainingReport) -> list[tuple[str, Markup]]:
    """Return heading and chart of the losses and of the held-out scores; they have no common unit."""
    entries = report.learning_curve
    names = dict.fromkeys(name for entry in entries for name in entry if not _NO_SCORES.fullmatch(name))
    along = "epoch" if any("epoch" in entry for entry in entries) else "step"
    scores = [name for name in names if name not in ("epoch", "step")]
    drawn = []
    for heading, group in (
        ("Loss", [name for name in scores if is_lower_better(name)]),
        ("Held-out score", [name for name in scores if not is_lower_better(name)]),
    ):
        words = {name: "training loss" if name == "loss" else plain_text(describe_metric(name)) for name in group}
        if group:
            label = f"{heading} by {along}: {', '.join(words.values())}"
            drawn.append((heading, draw_lines(entries, words, along=along, label=label)))
    return drawn


def _draw_reliability(report: TrainingReport) -> Markup | None:
    if not report.reliability:
        return None
    error = report.metrics.get("ece")
    figure = "" if error is None else f"; calibration error {error:.3f}"
    return draw_reliability(report.reliability, label=f"Reliability diagram: given probability and share right{figure}")


def _show_table(table: ScoreTable) -> _Classes:
    most = max([1, *(row.support for row in table.classes.values())])
    by_f1 = sorted(table.classes.items(), key=lambda item: (item[1].f1, item[0]))
    confusion, note, size = _show_confusion(table)
    return _Classes(
        rows=[
            {"label": plain_text(label), "scores": row, "support_share": round(100 * row.support / most)}
            for label, row in by_f1
        ],
        averages=[
            (f"{name} average", *map(format_figure, (row.precision, row.recall, row.f1)), f"{row.support:,}")
            for name, row in table.averages.items()
        ],
        confusion=confusion,
        confusion_note=note,
        is_large=size > _LARGE,
    )


def _show_confusion(table: ScoreTable) -> tuple[Markup | None, str, int]:
    """Return the chart, what it leaves out, and the number of labels it shows."""
    if table.confusion is None or not table.confusion.labels:
        return None, "", 0
    labels, matrix = pick_confused(table.confusion.labels, table.confusion.matrix, limit=_MAX_LABELS)
    note = ""
    if len(labels) < len(table.confusion.labels):
        shown, everything = _count_mistakes(matrix), _count_mistakes(table.confusion.matrix)
        note = (
            f"The {len(labels)} labels with the most mistakes, of {len(table.confusion.labels)}; "
            f"{shown:,} of {everything:,} mistakes lie between them."
        )
    name = "Confusion matrix" if not note else f"Confusion matrix of the {len(labels)} most confused labels"
    return draw_confusion([plain_text(label) for label in labels], matrix, label=name), note, len(labels)


def _count_mistakes(matrix: Any) -> int:
    return sum(sum(row) - row[index] for index, row in enumerate(matrix))


def _warnings(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with the rows: how bad it is, and a sentence."""
    kinds = (("Error", data.get("errors")), ("Warning", data.get("warnings")))
    return [(kind, plain_text(str(line))) for kind, lines in kinds if isinstance(lines, list | tuple) for line in lines]


def _show_data(data: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, list[tuple[str, str]]]]]:
    """Return single facts as name and value, and groups of facts as a name and their own names and values."""
    facts, groups = [], []
    for name, value in data.items():
        words = plain_text(name.removeprefix("num_").replace("_", " "))
        if isinstance(value, Mapping):
            group = [(plain_text(str(key)), _show_value(part)) for key, part in value.items()]  # keys may be labels
        elif isinstance(value, list | tuple):
            group = [_show_entry(number, part) for number, part in enumerate(value, start=1)]
        else:
            facts.append((words, _show_value(value)))
            continue
        if group and name not in ("errors", "warnings"):
            groups.append((words, group))
    return facts, groups


def _show_entry(number: int, entry: Any) -> tuple[str, str]:
    """Return an example of a data report as its text and what is said about it."""
    if isinstance(entry, Mapping) and "text" in entry:
        return plain_text(str(entry["text"])), _show_value({key: part for key, part in entry.items() if key != "text"})
    return str(number), _show_value(entry)


def _show_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(
            f"{plain_text(str(key)).replace('_', ' ')}: {_show_value(part)}" for key, part in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(_show_value, value)) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain_text(str(value))
    return f"{value:,}" if isinstance(value, int) else format_figure(value)
