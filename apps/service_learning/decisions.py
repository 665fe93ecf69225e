"""Decisions about groups of requests: a log that only grows, and what is in force of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

Use = Literal["intent", "rows", "known_question", "article"]
Status = Literal["open", "accepted", "dropped", "replaced", "published"]

MAX_NAME_CHARS = 80
MAX_TEMPLATE_CHARS = 4_000
# on one line, and not of spaces alone
_NAME = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
_Name: TypeAlias = Annotated[str, Field(max_length=MAX_NAME_CHARS, pattern=_NAME)]
_Template: TypeAlias = Annotated[str, Field(max_length=MAX_TEMPLATE_CHARS)]
_Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]


class _Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rename(_Decision):
    """The group is to be called something else."""

    kind: Literal["rename"] = "rename"
    group: _Id
    name: _Name


class EditTemplate(_Decision):
    """The answer is to be another one."""

    kind: Literal["template"] = "template"
    group: _Id
    template: _Template


class Accept(_Decision):
    """The group is right; what it becomes when the review is put to use.

    Attributes:
        use: "intent": a new intent with its template; "rows": further messages of an intent there is; "known_question":
            a question that is answered once and for all; "article": a text of the knowledge base.
    """

    kind: Literal["accept"] = "accept"
    group: _Id
    use: Use = "intent"


class Drop(_Decision):
    """Nothing is to be learnt from the group."""

    kind: Literal["drop"] = "drop"
    group: _Id


class Merge(_Decision):
    """The groups ask for the same: they become one, which keeps the name and the template of the first."""

    kind: Literal["merge"] = "merge"
    groups: Annotated[tuple[_Id, ...], Field(min_length=2, max_length=20)]


class Split(_Decision):
    """The group asks for two things: it becomes two."""

    kind: Literal["split"] = "split"
    group: _Id


class Publish(_Decision):
    """What is accepted was written into the records of the workspace."""

    kind: Literal["publish"] = "publish"
    groups: tuple[_Id, ...]


class Undo(_Decision):
    """The last decision in force was taken back."""

    kind: Literal["undo"] = "undo"


GroupDecision: TypeAlias = Annotated[Rename | EditTemplate | Accept | Drop | Merge | Split, Field(discriminator="kind")]
Decision: TypeAlias = Annotated[
    Rename | EditTemplate | Accept | Drop | Merge | Split | Publish | Undo, Field(discriminator="kind")
]
DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)


class TakenDecision(BaseModel):
    """A decision, and who took it when."""

    model_config = ConfigDict(frozen=True)

    seq: int
    time: AwareDatetime
    person: str
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """What decisions made of a group.

    Attributes:
        name: the one that a person gave it, or None.
        template: the one that a person wrote, or None.
        use: what it becomes, if it is accepted.
    """

    status: Status = "open"
    name: str | None = None
    template: str | None = None
    use: Use | None = None


def in_force(taken: Iterable[TakenDecision]) -> list[TakenDecision]:
    """Return the decisions that were not taken back, oldest first."""
    standing: list[TakenDecision] = []
    for one in taken:
        if isinstance(one.decision, Undo):
            if standing:
                standing.pop()
        else:
            standing.append(one)
    return standing


def names_of(decision: Decision) -> tuple[str, ...]:
    """Return the groups that a decision is about."""
    if isinstance(decision, Merge | Publish):
        return decision.groups
    return () if isinstance(decision, Undo) else (decision.group,)


def group_states(standing: Sequence[TakenDecision]) -> Mapping[str, GroupState]:
    """Return what the decisions in force made of each group that they name."""
    states: dict[str, GroupState] = {}
    for one in standing:
        for name in names_of(one.decision):
            states[name] = _after(states.get(name, GroupState()), one.decision)
    return states


def _after(state: GroupState, decision: Decision) -> GroupState:
    changes: Mapping[type[BaseModel], Status] = {
        Accept: "accepted",
        Drop: "dropped",
        Merge: "replaced",
        Split: "replaced",
        Publish: "published",
    }
    return GroupState(
        status=changes.get(type(decision), state.status),
        name=decision.name if isinstance(decision, Rename) else state.name,
        template=decision.template if isinstance(decision, EditTemplate) else state.template,
        use=decision.use if isinstance(decision, Accept) else state.use,
    )
