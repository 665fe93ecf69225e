"""Commands of `tunechain service` that learn from logs: `learn` and `review-groups`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from apps.service_learning.gain import Answered, Gain
    from apps.service_learning.learning import LearnReport, OnProgress
    from apps.settings import Settings
    from chains.customer_service.learning import LoggedConversation

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
    from apps.service_learning.running import learn_from_logs
    from apps.settings import load_settings

    settings = load_settings(workspace)
    if not logs and not evaluate:
        msg = "name the files of conversations to learn from, or --evaluate"
        raise WorkspaceError(msg)
    if logs:
        with _progress() as on_progress:
            report = learn_from_logs(settings, _read(logs), on_progress=on_progress)
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


def _read(logs: list[Path]) -> "Iterator[LoggedConversation]":
    """Yield the conversations of files; say first how their columns are read, and what is set aside."""
    from apps.console import print_warning
    from apps.service_learning.reading import SetAside, guess_layout, read_conversations

    for path in logs:
        print_warning(f"{path}: {guess_layout(path).describe()}")
    num_set_aside = 0
    for found in read_conversations(logs):
        if isinstance(found, SetAside):
            num_set_aside += 1
            if num_set_aside <= _MAX_SHOWN:
                print_warning(f"{found.source} set aside: {found.reason}")
        else:
            yield found
    if num_set_aside > _MAX_SHOWN:
        print_warning(f"{num_set_aside - _MAX_SHOWN} more rows set aside")


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
