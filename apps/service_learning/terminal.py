"""The review of groups in the terminal: one group after the other, one letter for each decision."""

from collections.abc import Callable, Sequence

from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from apps.console import output
from apps.service_learning.decisions import Accept, Drop, EditTemplate, GroupDecision, Merge, Rename, Split, Use
from apps.service_learning.desk import LearningDesk
from apps.service_learning.review import ReviewedGroup
from llms.errors import TuneChainError
from llms.field_errors import describe_errors

CHOICES = (
    "[a]ccept, [k]nown question, a[r]ticle, re[n]ame, [e]dit the answer, [t]ake answer N, [m]erge with N, [s]plit, "
    "[d]rop, [u]ndo, [w]rite into the records, [Enter] next, [q]uit"
)
_NUM_WORDINGS = 6
_PERSON = "terminal"

Prompt = Callable[[str], str]
"""Shows a question and returns what the person types."""


def review_groups(desk: LearningDesk, ask: Prompt) -> int:
    """Go through the groups that wait, and return how many decisions were taken.

    Every decision is on the disk at once.
    """
    place = num_decided = 0
    while True:
        groups = desk.list_groups("open")
        if not groups:
            output.print("no group waits any more" if num_decided else "no group waits")
        place = min(place, max(len(groups) - 1, 0))
        if groups:
            show_group(groups[place], number=place + 1, total=len(groups))
        letter, _, rest = ask(CHOICES).strip().partition(" ")
        if letter == "q" or (not letter and place + 1 >= len(groups)):
            return num_decided
        if not letter:
            place += 1
            continue
        try:
            num_decided += _do(desk, groups, place, letter, rest.strip(), ask)
        except ValidationError as error:
            output.print(Text(describe_errors(error)), soft_wrap=True)
        except TuneChainError as error:
            output.print(Text(str(error)), soft_wrap=True)


def show_group(group: ReviewedGroup, *, number: int, total: int) -> None:
    """Print what a person has to know of a group."""
    draft = group.draft
    output.rule(Text(f"{number} of {total}: {draft.name}"))
    fits = f"fits {draft.intent}; " if draft.intent else ""
    size = f"{draft.num_requests} requests of {draft.num_customers} people; {draft.confidence:.0%} sure"
    output.print(Text(fits + size, style="dim"))
    for wording in draft.wordings[:_NUM_WORDINGS]:
        output.print(Text(f"  · {wording}"), soft_wrap=True)
    table = Table("", "given", "worked", "answers of the staff", box=None)
    for place, answer in enumerate(draft.answers, start=1):
        worked = "" if answer.worked is None else f"{answer.worked:.0%}"
        table.add_row(str(place), str(answer.count), worked, Text(answer.text))
    if draft.answers:
        output.print(table)
    if not draft.intent:
        output.print(Text.assemble(("answer: ", "bold"), draft.template or "none yet"), soft_wrap=True)


def _do(desk: LearningDesk, groups: Sequence[ReviewedGroup], place: int, letter: str, rest: str, ask: Prompt) -> int:
    """Do what a letter says, and return how many decisions that was."""
    if letter == "u":
        undone = desk.undo(person=_PERSON)
        output.print(f"taken back: {undone}" if undone else "there is nothing to take back")
        return 0
    if letter == "w":
        written = desk.publish(person=_PERSON)
        output.print(Text(f"{written.num_groups} groups written into {', '.join(written.files)}"), soft_wrap=True)
        return 0
    decision = _decision(groups, place, letter, rest, ask) if groups else None
    if decision is None:
        output.print("that is none of the choices")
        return 0
    desk.decide(decision, person=_PERSON)
    return 1


def _decision(groups: Sequence[ReviewedGroup], place: int, letter: str, rest: str, ask: Prompt) -> GroupDecision | None:
    group = groups[place]
    uses: dict[str, Use] = {"a": "rows" if group.draft.intent else "intent", "k": "known_question", "r": "article"}
    if letter in uses:
        return Accept(group=group.id, use=uses[letter])
    if letter == "d":
        return Drop(group=group.id)
    if letter == "s":
        return Split(group=group.id)
    if letter == "n":
        return Rename(group=group.id, name=rest or ask("name"))
    if letter == "e":
        return EditTemplate(group=group.id, template=rest or ask("answer"))
    number = int(rest) if rest.isdecimal() else 0
    if letter == "t" and 1 <= number <= len(group.draft.answers):
        return EditTemplate(group=group.id, template=group.draft.answers[number - 1].text)
    if letter == "m" and 1 <= number <= len(groups) and number != place + 1:
        return Merge(groups=(group.id, groups[number - 1].id))
    return None
