"""Commands of `tunechain service`: learn from conversations, compare, and go back."""

from typing import TYPE_CHECKING

import typer

from apps.command_options import AsJson, Workspace
from apps.learning_commands import add_commands as add_learning

if TYPE_CHECKING:
    from apps.promotion import PromotionReport
    from apps.review import ReviewItem, Verdict
    from apps.settings import Settings


# what the commands need is imported inside them: `tunechain --help` must answer at once
service = typer.Typer(no_args_is_help=True, help="Make customer service better with what its conversations taught.")
add_learning(service)


@service.command()
def review(workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Go through answers with a thumb down or a correction, and questions that a person answered.

    Each becomes a training row, a wording of a known question, a new known question, or nothing. Stop the server
    first, unless conversations are kept in PostgreSQL.
    """
    from apps.console import output, print_json
    from apps.feedback import FeedbackStore
    from apps.review import find_items, review_items
    from apps.review_entries import Reviews
    from apps.settings import load_settings
    from apps.wiring import read_conversations
    from chains.customer_service import ConversationKey

    settings = load_settings(workspace)
    reviews = Reviews(settings.records_folder(settings.customer_service))
    with read_conversations(settings) as transcripts:
        feedback = FeedbackStore(settings.feedback_file).read()
        found = transcripts.overviews(None)
        keys = [ConversationKey(owner=entry.owner, conversation=entry.conversation) for entry in found]
        items = list(find_items(keys, feedback, transcripts.turns))
    if as_json:
        for item in items:
            print_json(item)
        return
    count = review_items(items, reviews, lambda item: _ask(item, settings))
    output.print(f"{count} new entries; put them to use with: tunechain service retrain")


@service.command()
def retrain(workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Train with all reviewed entries, compare with the service in use, and promote it if nothing got worse."""
    from apps.console import errors, output, print_json
    from apps.promotion import retrain_service
    from apps.settings import load_settings

    report = retrain_service(load_settings(workspace), show_progress=errors.is_terminal and not as_json)
    if as_json:
        print_json(report.model_dump())
    else:
        output.print(_table(report))
        verdict = "promoted" if report.promoted else "not promoted"
        output.print(f"{verdict}: {report.reason}", highlight=False)


@service.command()
def fit(workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Fit the answer router anew: known questions, approved answers or articles have changed since the training."""
    from apps.console import output, print_json
    from apps.router_fitting import fit_answer_router
    from apps.settings import load_settings

    settings = load_settings(workspace)
    model = fit_answer_router(settings)
    budget = model.budget(settings.customer_service.wrong_answer_budget)
    if as_json:
        print_json({**budget.model_dump(), "kinds": dict(model.kinds), "metrics": dict(model.metrics)})
        return
    output.print(
        f"answers from a probability of {budget.threshold:.2f} on: {budget.wrong_share:.1%} wrong and "
        f"{budget.right_share:.1%} right of {budget.num_messages} held-out messages; at most {budget.wrong_bound:.1%} "
        f"wrong at {budget.confidence:.0%} confidence, budget {budget.budget:.1%}",
        highlight=False,
        soft_wrap=True,
    )


@service.command()
def rollback(workspace: Workspace = None) -> None:
    """Put the model and the entries back that were in use before the last promotion."""
    from apps.console import output
    from apps.promotion import roll_back_service
    from apps.settings import load_settings

    roll_back_service(load_settings(workspace))
    output.print("the version before is in use again; start the server anew")


def _ask(item: "ReviewItem", settings: "Settings") -> "Verdict":
    """Show an item and return what the person at the terminal decides."""
    from rich.text import Text

    from apps.console import output
    from apps.readers import read_known_questions, read_templates

    folder = settings.records_folder(settings.customer_service)
    output.print(Text.assemble(("\ncustomer: ", "bold"), item.question))
    output.print(Text.assemble((f"{item.route or 'person'}: ", "bold"), item.said, (f"  ({item.why})", "dim")))
    if item.better and item.better != item.said:
        output.print(Text.assemble(("better: ", "bold"), item.better))
    while True:
        choice = typer.prompt("[i]ntent, [w]ording of a known question, [a]nswer, [s]kip, [q]uit", default="s")
        if choice in ("s", "q"):
            return ("skip" if choice == "s" else "stop"), ""
        if choice == "i":
            own = read_templates(folder / "templates.yaml").answers
            intents = sorted({*own, settings.customer_service.outside_intent} - {""})
            if (intent := typer.prompt(f"intent ({', '.join(intents)})")) in intents:
                return "intent", intent
        elif choice == "w":
            known = [question.id for question in read_known_questions(folder / "known_questions.yaml")]
            if (name := typer.prompt(f"id ({', '.join(known)})")) in known:
                return "wording", name
        elif choice == "a":
            # shown above already, and by a console that lets no control character of a customer through
            return "answer", typer.prompt(
                "answer, or Enter for the one above", default=item.better or item.said, show_default=False
            )
        output.print("that is none of the choices")


def _table(report: "PromotionReport") -> object:
    from rich.table import Table

    table = Table("share of messages", "before", "after")
    for name in type(report.before).model_fields:
        before, after = getattr(report.before, name), getattr(report.after, name)
        if before is not None:
            shown = (str(value) if name == "num_messages" else f"{value:.3f}" for value in (before, after))
            table.add_row(name.replace("_", " "), *shown)
    return table
