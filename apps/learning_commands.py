"""Commands of `tunechain service` that learn from logs: `learn` and `review-groups`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from apps.service_learning.gain import Answered, Gain
    from apps.service_learning.layout import Layout, SetAside
    from apps.service_learning.learning import LearnReport, OnProgress
    from apps.settings import Settings
    from chains.customer_service.learning import LoggedRole

_MAX_SHOWN = 5  # rows that are set aside

# what the commands need is imported inside them: `tunechain --help` must answer at once

Logs = Annotated[
    list[Path] | None,
    typer.Argument(help="Files of conversations: CSV, JSON or JSON Lines; columns are guessed and shown."),
]


def learn(
    logs: Logs = None,
    workspace: Workspace = None,
    *,
    column: Annotated[
        list[str] | None,
        typer.Option(help="MEANING=NAME of a column that is not guessed right, such as text=body; may be given often."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="NAME=customer, agent, bot or none, for a role that is not guessed right."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether the columns are guessed right.")] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Show how many of the latest requests are answered, before and now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what customers ask in old conversations, with the answers of the staff, for a person to review.

    Private data is replaced before anything is kept. The latest fifth is held back to show the gain. After an
    interruption the same command goes on where it was.
    """
    from apps.console import output, print_json
    from apps.errors import WorkspaceError
    from apps.service_learning.guessing import guess_layout
    from apps.service_learning.running import learn_from_logs
    from apps.settings import load_settings

    settings = load_settings(workspace)
    if not logs and not evaluate:
        msg = "name the files of conversations to learn from, or --evaluate"
        raise WorkspaceError(msg)
    if logs:
        layouts = [guess_layout(path, columns=_pairs(column), roles=_roles(role)) for path in logs]
        for layout in layouts:
            _show_layout(layout)
        if not yes and sys.stdin.isatty():
            typer.confirm("read them so?", abort=True, default=True)
        aside = _SetAsides()
        with _progress() as on_progress:
            report = learn_from_logs(settings, layouts, on_set_aside=aside, on_progress=on_progress)
        aside.say_rest()
        if as_json:
            print_json(report)
        else:
            _print_report(report, settings)
    if evaluate:
        gain = _read_gain(settings)
        if as_json:
            print_json(gain)
        else:
            output.print(_gain_table(gain))


def review_groups(workspace: Workspace = None) -> None:
    """Review the groups of requests that `learn` found: accept, rename, merge, split, drop, write into the records.

    Nothing is written before you say w, and everything can be taken back with u. The page has the same under Learning.
    """
    from apps.service_learning.desk import LearningDesk
    from apps.service_learning.terminal import review_groups as review
    from apps.settings import load_settings

    def ask(text: str) -> str:
        return str(typer.prompt(text, default="", show_default=False))

    with contextlib.closing(LearningDesk(load_settings(workspace))) as desk:
        review(desk, ask)


def add_commands(service: typer.Typer) -> None:
    """Add both commands to `tunechain service`."""
    service.command()(learn)
    service.command("review-groups")(review_groups)


def _pairs(values: list[str] | None) -> dict[str, str]:
    """Return the pairs of options of the form NAME=VALUE."""
    from apps.errors import WorkspaceError

    pairs: dict[str, str] = {}
    for value in values or ():
        name, found, rest = value.partition("=")
        if not found:
            msg = f"expected NAME=VALUE, got {value!r}"
            raise WorkspaceError(msg)
        pairs[name] = rest
    return pairs


def _roles(values: list[str] | None) -> "dict[str, LoggedRole | None]":
    from apps.errors import WorkspaceError

    known: dict[str, LoggedRole | None] = {"customer": "customer", "agent": "agent", "bot": "bot", "none": None}
    pairs = _pairs(values)
    if unknown := sorted(set(pairs.values()) - set(known)):
        msg = f"a role is one of {', '.join(known)}, got {unknown[0]!r}"
        raise WorkspaceError(msg)
    return {name: known[value] for name, value in pairs.items()}


def _show_layout(layout: "Layout") -> None:
    """Say on standard error what a file is taken for, before anything of it is used."""
    from rich.text import Text

    from apps.console import errors, print_warning

    columns = ", ".join(f"{meaning} from {name!r}" for meaning, name in layout.columns.items())
    errors.print(Text(f"{layout.path}: {layout.form}{f'; {columns}' if columns else ''}"), soft_wrap=True)
    for role, text in layout.examples:
        errors.print(Text(f"  {role}: {text}", style="dim"), soft_wrap=True)
    for warning in layout.warnings:
        print_warning(warning)


class _SetAsides:
    """Says on standard error which of the first rows cannot be used, and how many there are in the end."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, row: "SetAside") -> None:
        from apps.console import print_warning

        self.count += 1
        if self.count <= _MAX_SHOWN:
            print_warning(f"{row.source} line {row.line} set aside: {row.reason}")

    def say_rest(self) -> None:
        from apps.console import print_warning

        if self.count > _MAX_SHOWN:
            print_warning(f"{self.count - _MAX_SHOWN} more rows set aside")


@contextlib.contextmanager
def _progress() -> "Iterator[OnProgress]":
    """Show on standard error what is being done, if that is a terminal."""
    from apps.console import errors

    with errors.status("reading") as status:
        yield lambda what, done: status.update(f"{what} {done:,}" if done else what)


def _print_report(report: "LearnReport", settings: "Settings") -> None:
    import shlex

    from rich.table import Table
    from rich.text import Text

    from apps.console import output

    if report.private:
        table = Table("private data", "replaced", title="replaced before anything was kept", title_justify="left")
        for kind, count in sorted(report.private.items(), key=lambda pair: -pair[1]):
            table.add_row(kind.replace("_", " "), f"{count:,}")
        output.print(table)
    output.print(
        f"{report.num_conversations:,} conversations read, {report.num_new:,} of them now; {report.num_requests:,} ask "
        f"for something; the latest {report.num_later:,} are held back to measure the gain",
        highlight=False,
        soft_wrap=True,
    )
    place = shlex.quote(str(settings.workspace))
    text = (
        f"{report.num_groups} groups with {report.num_grouped:,} requests wait: tunechain service review-groups "
        f"-w {place}, or the page under Learning (tunechain serve -w {place})"
    )
    output.print(Text(text), soft_wrap=True)


def _read_gain(settings: "Settings") -> "Gain":
    from apps.service_learning.gain import read_gain
    from apps.service_learning.learning import open_learning

    with open_learning(settings) as state:
        return read_gain(settings, state)


def _gain_table(gain: "Gain") -> object:
    from rich.table import Table

    def show(answered: "Answered | None", name: str) -> str:
        return "–" if answered is None else f"{getattr(answered, name):.3f}"

    number = gain.after.num_requests if gain.after else 0
    table = Table(f"share of the latest {number} requests", "before", "now")
    for name, title in (("approved", "got an approved answer"), ("quoted", "were answered from the knowledge base")):
        table.add_row(title, show(gain.before, name), show(gain.after, name))
    return table
