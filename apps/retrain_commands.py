"""Commands `tunechain retrain` and `tunechain rollback`: learn from what came since, and go back."""

from typing import Annotated, Literal

import typer

from apps.command_options import AsJson, Workspace

# what the commands need is imported inside them: `tunechain --help` must answer at once
What = Literal["recommendation"]


def retrain(
    what: Annotated[What, typer.Argument(help="What to learn anew.")],  # noqa: ARG001  # there is one so far
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Learn anew beside what is in use, compare on the last week, and promote it unless it is worse.

    A served workspace takes the new generation between two requests. After an interruption the command goes on.
    """
    from apps.console import output, print_json, print_warning
    from apps.retraining import retrain_recommendation
    from apps.settings import load_settings

    report = retrain_recommendation(load_settings(workspace), on_step=lambda step: print_warning(f"{step} ..."))
    if as_json:
        print_json(report)
        return
    if report.ndcg_before is not None and report.ndcg_after is not None:
        output.print(
            f"nDCG on the last week: {report.ndcg_before:.4f} before, {report.ndcg_after:.4f} after; difference "
            f"{report.difference_low:+.4f} to {report.difference_high:+.4f} (95 %, {report.num_users} people)",
            highlight=False,
            soft_wrap=True,
        )
    verdict = f"promoted as {report.generation}" if report.promoted else "not promoted"
    output.print(f"{verdict}: {report.reason}", highlight=False, soft_wrap=True)


def rollback(
    what: Annotated[What, typer.Argument(help="What to go back with.")],  # noqa: ARG001  # there is one so far
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Put what was in use before the last `retrain` into use again."""
    from apps.console import output, print_json
    from apps.retraining import roll_back_recommendation
    from apps.settings import load_settings

    name = roll_back_recommendation(load_settings(workspace))
    if as_json:
        print_json({"generation": name})
    else:
        output.print(f"{name} is in use again", highlight=False)


def add_commands(app: typer.Typer) -> None:
    """Add both commands to the program."""
    app.command()(retrain)
    app.command()(rollback)
