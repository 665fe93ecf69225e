"""Commands of `tunechain monitor`: what was found, what staff think of it, and what could not be read or delivered."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from apps.alert_outbox import Delivery
    from apps.monitoring_database import MonitoringDatabase
    from apps.monitoring_view import MonitoringView, Verdict
    from apps.settings import Settings
    from chains.monitoring import MonitoringReport

# what the commands need is imported inside them: `tunechain --help` must answer at once
monitor = typer.Typer(no_args_is_help=True, help="Alerts of opinion monitoring, and what staff think of them.")

AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, as `monitor alerts` shows it.")]


@monitor.command()
def alerts(
    judged: Annotated[
        Literal["all", "new", "confirmed", "rejected"], typer.Option(help="new: those that nobody has judged.")
    ] = "all",
    most: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the latest alerts with their ids, and how many of the judged ones were right."""
    from apps.console import errors, output, print_alert, print_json
    from llms.texts import show_share

    with _open_view(workspace) as view:
        found, _ = view.read_alerts(most=most, judged=judged, max_bytes=10**9)
        precision = view.read_precision()
    for alert in found:
        if as_json:
            print_json(alert)
            continue
        print_alert(alert)
        output.print(f"{alert.id} · {alert.verdict or 'not judged'}", markup=False, highlight=False, soft_wrap=True)
    if not found and not as_json:
        which = "no alerts yet" if judged == "all" else f"no alerts that are {judged}"
        errors.print(f"{which}; `tunechain serve` reads posts and raises them", highlight=False, soft_wrap=True)
    if not as_json and precision.precision is not None:
        share = show_share(precision.precision)
        num_judged = precision.confirmed + precision.rejected
        errors.print(
            f"{share} of the alerts judged in {precision.days} days were right "
            f"({precision.confirmed:,} of {num_judged:,})",
            highlight=False,
            soft_wrap=True,
        )


@monitor.command()
def confirm(alert: AlertId, workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Keep that an alert was right."""
    _judge(alert, "confirmed", workspace, as_json=as_json)


@monitor.command()
def reject(alert: AlertId, workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Keep that an alert was wrong; its posts go to the rows of `monitor review`."""
    _judge(alert, "rejected", workspace, as_json=as_json)


@monitor.command()
def review(
    out: Annotated[Path, typer.Option(help="A new CSV file with the columns of labelled.csv.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the posts of rejected alerts as rows to correct and to append to labelled.csv, before the next training."""
    import csv

    from apps.console import output, print_json
    from apps.errors import WorkspaceError
    from llms.texts.csv_table import guarded_row

    with _open_view(workspace) as view:
        rows = view.read_review()
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("text", "topic", "sentiment", "alert"))
            writer.writerows(guarded_row(row.values()) for row in rows)
    except FileExistsError as error:
        msg = f"{out} is there already; name a new file, so that no correction is overwritten"
        raise WorkspaceError(msg) from error
    if as_json:
        print_json({"file": str(out), "rows": len(rows)})
    else:
        output.print(f"{_count(len(rows), 'row', 'rows')} in {out}", markup=False, highlight=False, soft_wrap=True)


@monitor.command()
def topics(
    days: Annotated[float, typer.Option(min=0.1, max=56, help="Before the latest post.")] = 7.0,
    min_posts: Annotated[int, typer.Option(min=3, help="Of a topic.")] = 8,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what posts of no known topic are about, with words and examples: topics to label and to train."""
    from apps.console import errors, output, print_json
    from apps.unknown_posts import find_topics
    from apps.workspace_models import open_embeddings

    settings = _settings(workspace)
    with _open_database(workspace) as database:
        found = find_topics(
            database, lambda texts: open_embeddings(settings).embed_array(texts), days=days, min_posts=min_posts
        )
    if as_json:
        print_json(found)
        return
    for topic in found.topics:
        head = f"{_count(topic.posts, 'post', 'posts')}, {topic.first:%Y-%m-%d} to {topic.last:%Y-%m-%d}"
        for line in (f"{head}: {', '.join(topic.words)}", *(f"  > {text}" for text in topic.examples)):
            output.print(line, markup=False, highlight=False, soft_wrap=True)
    posts = _count(found.posts, "post", "posts")
    errors.print(f"{posts} of no known topic, {found.alone:,} of them in no group", highlight=False, soft_wrap=True)


@monitor.command(name="dead-letters")
def dead_letters(
    workspace: Workspace = None,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Classify them again; stop the server before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the posts whose text a classifier cannot read, with the reason; those that can be read now count."""
    from rich.text import Text

    from apps.console import errors, output, print_json

    if retry:
        report = _retry_dead_letters(workspace)
        readable = _count(len(report.readings), "post", "posts")
        errors.print(f"{readable} can be read now, {report.late} came too late", highlight=False)
    with _open_view(workspace) as view:
        letters = view.read_dead_letters()
    for letter in letters:
        if as_json:
            print_json(letter)
        else:
            output.print(
                Text(f"{letter.source} · {letter.id} · {_count(letter.tries, 'try', 'tries')} · {letter.reason}"),
                soft_wrap=True,
            )
    if not letters and not as_json:
        output.print("no posts that cannot be read")


@monitor.command()
def outbox(
    workspace: Workspace = None,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Let dead messages be tried again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what became of the latest messages about alerts; one that failed five times is dead."""
    from dataclasses import asdict

    from rich.text import Text

    from apps.alert_outbox import AlertOutbox
    from apps.console import errors, output, print_json

    with _open_database(workspace) as database:
        box = AlertOutbox(database)
        if retry:
            errors.print(
                f"{_count(box.retry_dead(), 'message is', 'messages are')} tried again by the server", highlight=False
            )
        deliveries = box.deliveries()
    for one in reversed(deliveries):
        if as_json:
            print_json(asdict(one))
        else:
            output.print(Text(_describe(one)), soft_wrap=True)
    if not deliveries and not as_json:
        errors.print(
            "no messages; alerts are told to those named under [alerts] in tunechain.toml, while the server runs",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _describe(one: "Delivery") -> str:
    reason = f" · {one.reason}" if one.reason else ""
    return f"{one.status} · {one.sink} · {one.alert} · {one.state} · {_count(one.tries, 'try', 'tries')}{reason}"


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _judge(alert: str, verdict: "Verdict", workspace: Path | None, *, as_json: bool) -> None:
    from rich.text import Text

    from apps.console import output, print_json

    with _open_view(workspace) as view:
        shown = view.judge(alert, verdict, judge="terminal")
    if as_json:
        print_json(shown)
    else:
        output.print(Text(f"{shown.id} is {verdict}"), soft_wrap=True)


def _settings(workspace: Path | None) -> "Settings":
    from apps.settings import load_settings

    return load_settings(workspace)


@contextlib.contextmanager
def _open_database(workspace: Path | None) -> "Iterator[MonitoringDatabase]":
    """Give the state of a workspace's monitor, beside a server that may have it open."""
    from apps.monitoring_view import open_beside

    with contextlib.closing(open_beside(_settings(workspace).monitoring_file)) as database:
        yield database


@contextlib.contextmanager
def _open_view(workspace: Path | None) -> "Iterator[MonitoringView]":
    from apps.monitoring_view import MonitoringView

    with _open_database(workspace) as database:
        yield MonitoringView(database)


def _retry_dead_letters(workspace: Path | None) -> "MonitoringReport":
    from filelock import Timeout

    from apps.alert_sinks import outbox_rules
    from apps.errors import MonitoringFileError
    from apps.monitoring_run import MonitoringRun
    from apps.monitoring_state import MonitoringStore
    from apps.wiring import build_monitoring

    settings = _settings(workspace)
    try:
        store = MonitoringStore(settings.monitoring_file, rules=outbox_rules(settings))
    except Timeout as error:
        msg = "a server has the monitoring of this workspace; POST /v1/dead-letters/retry there, or stop it first"
        raise MonitoringFileError(msg) from error
    with contextlib.closing(store):
        run = MonitoringRun(build_monitoring(settings), store)
        report = run.retry_dead()
        run.keep_learnt()
    return report
