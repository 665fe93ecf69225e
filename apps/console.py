"""Terminal output: results on standard output, progress and warnings on standard error."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from llms.texts import visible_text

if TYPE_CHECKING:
    from pathlib import Path

    from apps.backup import BackupReport
    from apps.indexing import IndexReport
    from chains.customer_service import ServiceReply
    from chains.monitoring import Alert
    from chains.recommendation import Recommendation
    from llms import Classification, Explanation
    from llms.finetuning.data import RejectedRow
    from retrievers import ImportReport


_JSON_RAW = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # what JSON leaves as it is and a terminal may obey


class _PlainConsole(Console):
    """A console on which texts from outside are only text.

    Customers, posters and files write what is printed here; a control character of theirs would set the title of a
    terminal, its clipboard or its colours, or hide what stands before it.
    """

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(visible_text(segment.text, keep_joiners=True), segment.style)


output = _PlainConsole()
errors = _PlainConsole(stderr=True)
_ROUTE_STYLES = {"template": "green", "answer": "cyan", "clarify": "yellow", "handover": "magenta"}
_TELLING = 0.25  # of the strongest word's weight; weaker ones are noise to a reader
_MAX_SHOWN_REJECTED = 5
_MAX_SHOWN_FILES = 50


def print_json(result: BaseModel | Mapping[str, Any]) -> None:
    """Print one JSON object on one line, with nothing else on standard output."""
    values = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    line = _JSON_RAW.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(values, ensure_ascii=False))
    # Console.print would wrap and colour; what machines read must stay as it is
    output.file.write(line + "\n")
    output.file.flush()


def print_reply(reply: "ServiceReply") -> None:
    """Print a reply with its route and the articles it rests on."""
    sources = Text()
    for citation in reply.citations:
        sources.append(f"\n{citation.source} [{citation.start}:{citation.end}]", style="dim")
    probability = "" if reply.probability is None else f" · {reply.probability:.0%}"
    title = f"{reply.route}{f' · {reply.intent}' if reply.intent else ''}{probability}"
    style = _ROUTE_STYLES.get(reply.route, "white")
    output.print(Panel(Text(reply.text) + sources, title=Text(title), title_align="left", border_style=style))
    output.print(Text(reply.reason, style="dim"))


def print_alert(alert: "Alert") -> None:
    """Print an alert with the posts that speak for it."""
    body = Text(alert.reason)
    for cause in alert.causes:  # posts come from many zones, alerts are in one
        body.append(f"\n{cause.time.astimezone(UTC):%d %b %H:%M}  {cause.text}", style="dim")
    title = f"{alert.state} · {alert.topic} · raised {alert.raised_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    style = "red" if alert.state == "open" else "green"
    output.print(Panel(body, title=Text(title), title_align="left", border_style=style))


def print_recommendation(result: "Recommendation") -> None:
    """Print a list with a reason for each item."""
    table = Table(title=Text(f"For {result.user}{' (new here)' if result.cold else ''}"), title_justify="left")
    for name in ("", "item", "score", "why"):
        table.add_column(name, justify="right" if name == "score" else "left", overflow="fold")  # narrow terminals
    for rank, item in enumerate(result.items, start=1):
        table.add_row(str(rank), Text(item.title), f"{item.score:.2f}", Text(item.reason))
    output.print(table)


def print_classification(text: str, reply: "Classification") -> None:
    """Print a text's label with its probability."""
    sure = "" if reply.accepted else "  (not sure)"
    output.print(Text(f"{reply.label:<24} {reply.probability:.2f}{sure}  {text[:80]}"))


def print_explanation(explanation: "Explanation") -> None:
    """Print the words of a text, coloured by how much each speaks for the label, and the nearest examples."""
    strongest = max((abs(word.weight) for word in explanation.words), default=0.0) or 1.0
    line = Text("  ")
    for word in explanation.words:
        share = word.weight / strongest
        style = "bold green" if share > _TELLING else "red" if share < -_TELLING else "dim"
        line.append(f"{word.word} ", style=style)
        if abs(share) > _TELLING:
            line.append(f"{word.weight:+.1f} ", style="dim")
    output.print(line)
    for example in explanation.examples:
        output.print(Text(f"  {example.similarity:.2f} {example.label or ''}: {example.text[:80]}", style="dim"))


def print_figures(title: str, rows: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print one row of figures per method; ours first, baselines below."""
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    table = Table(title=Text(title), title_justify="left")
    longest_word = max((len(word) for method in rows for word in method.split()), default=0)
    table.add_column("", min_width=longest_word)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for method, figures in rows.items():
        table.add_row(method, *(_figure(figures.get(name)) for name in names))
    output.print(table)


def print_budget(check: Mapping[str, Any] | None) -> None:
    """Print the budget of wrong answers, its bound and what was reached; see `apps.evaluate.BudgetCheck`."""
    if check is None:
        text = "no fitted router: each kind of answer is tried by its own threshold; fit it with: tunechain service fit"
        output.print(Text(text), soft_wrap=True)
        return
    promised, known = check["promised"], check["known_questions"]
    lines = [
        f"budget of wrong answers: {promised['budget']:.1%} of the messages",
        f"bound: at most {promised['wrong_bound']:.1%} at {promised['confidence']:.0%} confidence "
        f"({promised['wrong_share']:.1%} wrong and {promised['right_share']:.1%} right of {promised['num_messages']} "
        "held-out messages)",
        f"reached: {check['reached']:.1%} of {check['num_messages']} unseen messages",
    ]
    if promised["wrong_bound"] > promised["budget"]:
        lines.append("the budget is not proven: there are too few held-out messages for it")
    if check["is_exceeded"]:
        lines.append("the bound is exceeded: these messages are of another kind than those it was fitted on")
    if known is not None:
        lines.append(
            f"known questions: answers to another question {known['false_hit_rate']:.1%}, bound "
            f"{known['false_hit_bound']:.1%}, budget {known['budget']:.1%}"
        )
    for line in lines:
        output.print(Text(line), soft_wrap=True)


def print_error(error: Exception | str) -> None:
    """Say on standard error why something was not done."""
    errors.print(Text(f"error: {error}"), soft_wrap=True)


def print_warning(text: str) -> None:
    """Say on standard error what may surprise."""
    errors.print(Text(text, style="yellow"), soft_wrap=True)


def print_rejected(rows: "Sequence[RejectedRow]", source: str) -> None:
    """Say on standard error which rows were set aside."""
    for row in rows[:_MAX_SHOWN_REJECTED]:
        print_warning(f"{source} line {row.line} set aside: {row.reason}")
    if len(rows) > _MAX_SHOWN_REJECTED:
        print_warning(f"{source}: {len(rows) - _MAX_SHOWN_REJECTED} more rows set aside")


def print_left_out(report: "IndexReport") -> None:
    """Say on standard error which files are not in an index, or not as they are now, and why."""
    for failed in report.failed:
        print_warning(f"not indexed: {failed.reason}")
    for file in report.passed_over[:_MAX_SHOWN_FILES]:
        print_warning(f"passed over: {file.source} {file.reason}")
    if len(report.passed_over) > _MAX_SHOWN_FILES:
        print_warning(f"{len(report.passed_over) - _MAX_SHOWN_FILES} more files passed over; --json names them all")


def print_skipped(report: "ImportReport") -> None:
    """Say on standard error which documents of an old store were not taken over, and what may surprise."""
    for note in report.notes:
        print_warning(f"note: {note}")
    for id_, reason in report.skipped[:_MAX_SHOWN_REJECTED]:
        print_warning(f"document {id_} skipped: {reason}")
    if len(report.skipped) > _MAX_SHOWN_REJECTED:
        more = len(report.skipped) - _MAX_SHOWN_REJECTED
        print_warning(f"{more} more documents skipped; --json names them all")


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, int], None]]:
    """Show a bar on standard error, if that is a terminal, and give a function that moves it: (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeRemainingColumn(), console=errors, transient=True, disable=not errors.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_backup(report: "BackupReport", target: "Path", *, as_json: bool) -> None:
    """Print what was backed up or restored, and what it leaves out."""
    for note in report.notes:
        print_warning(note)
    if as_json:
        print_json({"folder": str(target), "files": report.files, "bytes": report.size_bytes, "notes": report.notes})
    else:
        line = f"{report.files} files, {report.size_bytes / 1_000_000:,.1f} MB, in {target}"
        output.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def show_bytes(total: int | None) -> Iterator[Callable[[int], None]]:
    """Show bytes and the time left on standard error, if that is a terminal, and give what takes the bytes so far."""
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("fetching", total=total)
        yield lambda done: bar.update(task, completed=done)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
