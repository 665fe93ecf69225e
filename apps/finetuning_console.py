"""Terminal output of a fine-tuning run: faults of the rows, and figures of the model."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from apps.console import errors, output, print_figures
from llms.finetuning import TrainingReport
from llms.finetuning.data import DataReport
from llms.finetuning.labelling import LabelError
from llms.tagger import format_report

_MAX_CHARS = 80
_MAX_LABEL_ERRORS = 20


def print_data_warnings(report: DataReport) -> None:
    """Say on standard error what is better corrected in the rows: how many, and the first of them."""
    found = [row for row in _findings(report) if row[1]]
    if not found:
        return
    table = Table(title=Text("The rows, before training"), title_justify="left")
    for name in ("what", "number", "first"):
        table.add_column(name, justify="right" if name == "number" else "left")
    for what, number, first in found:
        table.add_row(Text(what), str(number), Text(_shortened(first)))
    errors.print(table)


def print_checks(report: DataReport, label_errors: Sequence[LabelError]) -> None:
    """Print the whole report of the rows as Markdown."""
    text = report.to_markdown()
    if label_errors:
        shown = [
            f"- {f'line {error.line}: ' if error.line else ''}{_shortened(error.text)} — {error.label}, "
            f"rather {error.suggested_label}"
            for error in label_errors[:_MAX_LABEL_ERRORS]
        ]
        title = f"## Labels that are probably wrong ({len(label_errors)}, surest first)"
        text += "\n".join(["", title, "", *shown, ""])
    output.print(Text(text), soft_wrap=True)


def print_outcome(report: TrainingReport, paths: dict[str, str]) -> None:
    """Print the figures beside the baselines, the entities of a tagger, and where everything lies."""
    title = f"{paths['model']} ({report.seconds:.0f} s, {report.rows.test} test rows)"
    print_figures(title, {"tunechain": report.metrics, **report.baselines})
    if report.entities:
        output.print(Text(format_report(report.entities.model_dump())), soft_wrap=True)
    output.print(Text(f"The whole report: {paths['page']}"), soft_wrap=True)


def _findings(report: DataReport) -> list[tuple[str, int, Any]]:
    """Return what was looked for, how often it was found, and the first case."""
    leakage = report.leakage
    rejected, conflicts, repeated, near = report.rejected, report.conflicts, report.duplicates, report.near
    rare = next((f"{label} ({count} rows)" for label, count in report.rare_labels.items()), "")
    findings: list[tuple[str, int, Any]] = [
        ("error: training is impossible", len(report.errors), next(iter(report.errors), "")),
        ("rows set aside", report.num_rejected, f"line {rejected[0].line}: {rejected[0].reason}" if rejected else ""),
        ("labels with fewer than 10 rows", len(report.rare_labels), rare),
        (
            "texts under different labels",
            report.num_conflicts,
            f"{conflicts[0].text} ({' / '.join(conflicts[0].labels)})" if conflicts else "",
        ),
        ("rows that repeat a text", report.num_duplicates, repeated[0].text if repeated else ""),
        ("texts nearly equal to another", report.num_near, near[0].text if near else ""),
    ]
    if leakage:
        leaked = next(iter([*leakage.exact, *(twin.text for twin in leakage.near)]), "")
        findings += [
            ("test rows (nearly) equal to a training text", leakage.num_either, leaked),
            ("labels in test rows only", len(leakage.new_labels), next(iter(leakage.new_labels), "")),
        ]
    return findings


def _shortened(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
