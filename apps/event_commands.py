"""Commands of `tunechain events`: take what people did with items into the log of a workspace."""

from pathlib import Path
from typing import Annotated

import typer

from apps.command_options import AsJson, Workspace

# what the commands need is imported inside them: `tunechain --help` must answer at once
event_commands = typer.Typer(no_args_is_help=True, help="Keep what people did with items, for recommendation.")


@event_commands.callback()
def _keep_group() -> None:
    """Keep `import` a command of its own, although it is the only one."""


@event_commands.command("import")
def import_events(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Of the form of events.csv; also JSONL or Parquet.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add the events of a file; those that are there already count once, also while the workspace is served."""
    from apps.console import output, print_json, print_rejected
    from apps.settings import load_settings
    from apps.wiring import import_event_file

    report, rejected = import_event_file(load_settings(workspace), path)
    print_rejected(rejected, str(path))
    if as_json:
        print_json({**report.model_dump(), "num_set_aside": len(rejected)})
    else:
        output.print(
            f"{report.num_recorded} events recorded, {report.num_repeated} were there already, "
            f"{len(rejected) + report.num_future_events} set aside",
            markup=False,
            soft_wrap=True,
        )
