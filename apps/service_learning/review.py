"""Review of the groups that were found in logs: what a person sees of them, and what they decide."""

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.errors import ReviewError, UnknownGroupError
from apps.service_learning.decisions import (
    Accept,
    Decision,
    EditTemplate,
    GroupDecision,
    GroupState,
    Merge,
    Publish,
    Rename,
    Split,
    Status,
    Undo,
    Use,
    group_states,
    in_force,
    names_of,
)
from apps.service_learning.state import LearningState, StoredGroup, put_group, read_decisions
from chains.customer_service.learning import GroupDraft, GroupNames, draft_group, placeholders_of, without_placeholders

ShownStatus = Literal["open", "accepted", "dropped", "published"]
_STRAY_BRACE = re.compile("[{}]")


class ReviewedGroup(BaseModel):
    """A group as a person sees it: the draft, with what they changed of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: ShownStatus
    use: Use | None = Field(default=None, description="What it becomes, once it is accepted.")
    draft: GroupDraft
    can_split: bool = Field(description="Whether there are two parts to take it apart into.")


class ReviewCounts(BaseModel):
    """How many groups there are of each status."""

    model_config = ConfigDict(frozen=True)

    open: int = 0
    accepted: int = 0
    dropped: int = 0
    published: int = 0


class GroupReview:
    """The groups of a workspace with the decisions in force.

    Every decision is on the disk before `decide` returns, and can be taken back, the last one first.

    Args:
        state: what was learnt.
        slots: of the workspace's templates, which the template of a group may use.
    """

    def __init__(self, state: LearningState, *, slots: Sequence[str] = ()) -> None:
        self._state = state
        self._slots = tuple(slots)

    def counts(self) -> ReviewCounts:
        """Return how many groups there are of each status."""
        with self._state.database.transaction() as database:
            view = _View(database)
        statuses = (view.status(name) for name in view.ids)
        return ReviewCounts.model_validate(Counter(status for status in statuses if status != "replaced"))

    def list_groups(
        self, status: ShownStatus = "open", *, limit: int | None = None, skip: int = 0
    ) -> list[ReviewedGroup]:
        """Return the groups of a status, the largest first."""
        with self._state.database.transaction() as database:
            view = _View(database)
            found = [name for name in view.ids if view.status(name) == status]
            chosen = found[skip:] if limit is None else found[skip : skip + limit]
            return [view.read(name) for name in chosen]

    def read_group(self, name: str) -> ReviewedGroup:
        """Return a group.

        Raises:
            UnknownGroupError: if there is none of this id, or it was merged or split.
        """
        with self._state.database.transaction() as database:
            return _View(database).read(name)

    def places_of(self, name: str) -> list[int]:
        """Return where the requests of a group stand in the state, the most typical first."""
        with self._state.database.transaction() as database:
            return [seq for seq, _ in _View(database).members(name)]

    def can_undo(self) -> bool:
        """Return whether there is a decision to take back."""
        with self._state.database.transaction() as database:
            return bool(in_force(read_decisions(database)))

    def decide(self, decision: GroupDecision, *, person: str) -> list[ReviewedGroup]:
        """Take a decision and return the groups it leaves: of a merge the one, of a split the two.

        Raises:
            UnknownGroupError: if a group does not exist, or was merged or split.
            ReviewError: if somebody decided on a group already, or it lacks what the decision needs.
        """
        made = self._made_by(decision)
        with self._state.database.transaction() as database:
            view = _View(database)
            self._check(view, decision)
            seq = log_decision(database, decision, person)
            for group in made:
                put_group(database, group, born=seq)
            view = _View(database)
            return [view.read(name) for name in ([group.id for group in made] or names_of(decision))]

    def undo(self, *, person: str) -> Decision | None:
        """Take the last decision back and return it; None if there is none.

        Raises:
            ReviewError: if what it decided is written into the records already; that is taken back otherwise.
        """
        with self._state.database.transaction() as database:
            standing = in_force(read_decisions(database))
            if not standing:
                return None
            last = standing[-1]
            if isinstance(last.decision, Publish):
                msg = "the last step was to write into the records; take that back first"
                raise ReviewError(msg)
            database.execute(
                "DELETE FROM members WHERE group_id IN (SELECT id FROM groups WHERE born = ?)", (last.seq,)
            )
            database.execute("DELETE FROM groups WHERE born = ?", (last.seq,))
            log_decision(database, Undo(), person)
        return last.decision

    # --- what merges and splits make

    def _made_by(self, decision: GroupDecision) -> list[StoredGroup]:
        """Return the groups that a decision makes, before it is known whether it may be taken."""
        if isinstance(decision, Merge):
            return [self._merged(decision)]
        if isinstance(decision, Split):
            return self._halves(decision.group)
        return []

    def _merged(self, decision: Merge) -> StoredGroup:
        with self._state.database.transaction() as database:
            view = _View(database)
            groups = [view.read(name) for name in decision.groups]
            members = [view.members(name) for name in decision.groups]
        # the path says first from which group a request came: taken apart again, they are what they were
        last = len(members) - 1
        sides = ["1" * at + "0" * (at < last) for at in range(len(members))]
        joined = [(seq, f"{side}{path}") for side, found in zip(sides, members, strict=True) for seq, path in found]
        weights = [group.draft.num_requests for group in groups]
        confidence = sum(group.draft.confidence * weight for group, weight in zip(groups, weights, strict=True))
        first = groups[0].draft
        draft = self._draft(joined, confidence=confidence / sum(weights), names=None, intent=first.intent)
        kept = {"name": first.name, "template": first.template or draft.template}
        return StoredGroup(
            id=_child_id("m", decision.groups), draft=draft.model_copy(update=kept), members=tuple(joined)
        )

    def _halves(self, name: str) -> list[StoredGroup]:
        with self._state.database.transaction() as database:
            view = _View(database)
            group, members = view.read(name), view.members(name)
        depth = _first_difference([path for _, path in members])
        if depth is None:
            msg = "this group cannot be taken apart any further; drop it, or keep it"
            raise ReviewError(msg)
        sides = [[one for one in members if one[1][depth : depth + 1] == side] for side in ("0", "1")]
        texts = [[request.text for request in self._state.read_requests(seq for seq, _ in side)] for side in sides]
        names = GroupNames(texts)
        return [
            StoredGroup(
                id=_child_id(f"s{number}", (name,)),
                draft=self._draft(side, confidence=group.draft.confidence, names=names, intent=group.draft.intent),
                members=tuple(side),
            )
            for number, side in enumerate(sides)
        ]

    def _draft(
        self, members: Sequence[tuple[int, str]], *, confidence: float, names: GroupNames | None, intent: str | None
    ) -> GroupDraft:
        places = [seq for seq, _ in members]
        requests = self._state.read_requests(places)
        return draft_group(
            requests,
            names=names or GroupNames([[request.text for request in requests]]),
            confidence=confidence,
            outcomes=self._state.read_outcomes(places),
            intent=intent,
            slots=self._slots,
        )

    # --- whether a decision may be taken

    def _check(self, view: "_View", decision: GroupDecision) -> None:
        names = names_of(decision)
        if len(set(names)) < len(names):
            msg = "a group cannot be merged with itself; name two different ones"
            raise ReviewError(msg)
        for name in names:
            status = view.status(name)
            if status != "open" and not (status == "accepted" and isinstance(decision, Rename | EditTemplate)):
                msg = f"the group is {status} already; take the decision back first"
                raise ReviewError(msg)
        if isinstance(decision, Accept):
            self._check_accepted(view.read(decision.group).draft, decision.use)
        if isinstance(decision, EditTemplate) and view.status(decision.group) == "accepted":
            self._check_template(decision.template)

    def _check_accepted(self, draft: GroupDraft, use: Use) -> None:
        if use == "rows":
            if draft.intent is None:
                msg = "these requests fit no intent that there is; accept them as a new one"
                raise ReviewError(msg)
            return
        self._check_template(draft.template)
        if use != "intent" and "{" in draft.template:
            msg = "a known question or an article is the same for everybody; take the slots out of the answer"
            raise ReviewError(msg)

    def _check_template(self, template: str) -> None:
        if not template.strip():
            msg = "there is no answer yet; write one first"
            raise ReviewError(msg)
        if unknown := sorted(set(placeholders_of(template)) - set(self._slots)):
            known = ", ".join(f"{{{slot}}}" for slot in self._slots) or "none"
            msg = f"the answer holds {{{unknown[0]}}}, which is no slot (there are: {known}); write it for everybody"
            raise ReviewError(msg)
        if _STRAY_BRACE.search(without_placeholders(template)):
            msg = "braces only stand around the name of a slot, like {order_number}; take the others out"
            raise ReviewError(msg)


class _View:
    """The groups as they are within a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._states: Mapping[str, GroupState] = group_states(in_force(read_decisions(database)))
        self.ids = [
            name
            for (name,) in database.execute(
                "SELECT id FROM groups ORDER BY CAST(json_extract(draft, '$.num_requests') AS INTEGER) DESC, id"
            )
        ]

    def status(self, name: str) -> Status:
        return self._states.get(name, GroupState()).status

    def read(self, name: str) -> ReviewedGroup:
        row = self._database.execute("SELECT draft FROM groups WHERE id = ?", (name,)).fetchone()
        state = self._states.get(name, GroupState())
        if row is None or state.status == "replaced":
            msg = f"there is no group {name!r}; it may have been merged, taken apart or found anew"
            raise UnknownGroupError(msg)
        draft = GroupDraft.model_validate_json(row[0])
        changes = {"name": state.name, "template": state.template}
        draft = draft.model_copy(update={key: value for key, value in changes.items() if value is not None})
        if state.name is not None and draft.intent is not None and state.name != draft.intent:
            draft = draft.model_copy(update={"intent": None})  # a new name makes an intent of its own
        can_split = _first_difference([path for _, path in self.members(name)]) is not None
        return ReviewedGroup(id=name, status=state.status, use=state.use, draft=draft, can_split=can_split)

    def members(self, name: str) -> list[tuple[int, str]]:
        rows = self._database.execute(
            "SELECT conversation, path FROM members WHERE group_id = ? ORDER BY place", (name,)
        )
        return [(int(seq), str(path)) for seq, path in rows]


def _first_difference(paths: Sequence[str]) -> int | None:
    """Return the first place at which paths go two ways, or None."""
    for depth in range(min(map(len, paths), default=0)):
        if len({path[depth] for path in paths}) > 1:
            return depth
    return None


def _child_id(kind: str, parents: Sequence[str]) -> str:
    digest = hashlib.blake2b("\0".join(parents).encode(), digest_size=6).hexdigest()
    return f"{kind}-{digest}"


def log_decision(database: sqlite3.Connection, decision: Decision, person: str) -> int:
    """Put a decision behind all others and return its number."""
    cursor = database.execute(
        "INSERT INTO decisions (time, person, decision) VALUES (?, ?, ?)",
        (datetime.now(UTC).isoformat(), person, decision.model_dump_json()),
    )
    return int(cursor.lastrowid or 0)
