"""Accepted groups written into the records of a workspace, all or none, also after a kill; and taken back."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from apps.errors import ReviewError, WorkspaceError
from apps.service_learning.decisions import Publish, Undo, in_force
from apps.service_learning.records import AcceptedGroup, FileChange, plan_records
from apps.service_learning.review import GroupReview, log_decision
from apps.service_learning.state import LearningState, read_decisions
from chains.customer_service import Slot
from chains.customer_service.learning import distinct_wordings
from llms.files import replace_text
from llms.texts import decode_text


class Publication(BaseModel):
    """What was written into the records."""

    model_config = ConfigDict(frozen=True)

    num_groups: int
    files: tuple[str, ...] = Field(description="Below the folder of customer service.")


class Publisher:
    """Writes what a review accepted into the records of customer service.

    Before a file is touched, what it is to hold is in the state; a writing that was interrupted is finished when
    this is opened again.

    Args:
        state: what was learnt, with the decisions.
        folder: of the records of customer service.
        new_slots: slots that templates may use and that the workspace does not have yet.
        on_write: called before each file; for tests.

    Raises:
        WorkspaceError: if a writing was interrupted and somebody has changed a file since.
    """

    def __init__(
        self,
        state: LearningState,
        folder: Path,
        *,
        new_slots: Mapping[str, Slot] | None = None,
        on_write: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._folder = folder
        self._new_slots = new_slots or {}
        self._on_write = on_write
        self._lock = FileLock(f"{folder}.learning.lock")
        with self._lock:
            self._finish()

    def publish(self, review: GroupReview, *, person: str) -> Publication:
        """Write all accepted groups that are not written yet.

        Raises:
            ReviewError: if nothing is accepted, or a name is taken.
            WorkspaceError: if a file cannot be added to; then nothing is written.
        """
        with self._lock:
            groups = review.list_groups("accepted")
            if not groups:
                msg = "nothing is accepted that is not in the records already; accept a group first"
                raise ReviewError(msg)
            accepted = [
                AcceptedGroup(
                    id=group.id,
                    use=group.use or "intent",
                    name=group.draft.intent or group.draft.name if group.use == "rows" else group.draft.name,
                    template=group.draft.template,
                    wordings=tuple(distinct_wordings(self._state.read_requests(review.places_of(group.id)))),
                )
                for group in groups
            ]
            changes = plan_records(self._folder, accepted, new_slots=self._new_slots)
            with self._state.database.transaction() as database:
                seq = log_decision(database, Publish(groups=tuple(group.id for group in groups)), person)
                database.execute("INSERT INTO publications VALUES (?, 0, ?)", (seq, _dump(changes)))
            self._finish()
        return Publication(num_groups=len(groups), files=tuple(sorted(changes)))

    def take_back(self, *, person: str) -> Publication:
        """Put the files back as they were before the last writing; its groups are accepted again, not written.

        Raises:
            ReviewError: if writing was not the last step, or a file was changed since: that would be lost.
        """
        with self._lock:
            with self._state.database.transaction() as database:
                standing = in_force(read_decisions(database))
                last = standing[-1] if standing else None
                if last is None or not isinstance(last.decision, Publish):
                    msg = "the last step was no writing into the records, so there is none to take back"
                    raise ReviewError(msg)
                (files,) = database.execute("SELECT files FROM publications WHERE decision = ?", (last.seq,)).fetchone()
                changes = _load(files)
                for name, change in changes.items():
                    if _read(self._folder / name) != change.after:
                        msg = f"{name} was changed since; take out there what you do not want"
                        raise ReviewError(msg)
                undone = {name: FileChange(before=one.after, after=one.before) for name, one in changes.items()}
                seq = log_decision(database, Undo(), person)
                database.execute("INSERT INTO publications VALUES (?, 0, ?)", (seq, _dump(undone)))
            self._finish()
        return Publication(num_groups=len(last.decision.groups), files=tuple(sorted(changes)))

    def _finish(self) -> None:
        """Write what is to be written and is not yet."""
        rows = self._state.database.read("SELECT decision, files FROM publications WHERE NOT is_written ORDER BY 1")
        for seq, files in rows:
            for name, change in _load(files).items():
                self._write(name, change)
            with self._state.database.transaction() as database:
                database.execute("UPDATE publications SET is_written = 1 WHERE decision = ?", (seq,))

    def _write(self, name: str, change: FileChange) -> None:
        path = self._folder / name
        found = _read(path)
        if found == change.after:
            return
        if found != change.before:
            msg = (
                f"{path} was changed while the review was being written into it; put it back as it was, or write into "
                "it what the review holds, then try again"
            )
            raise WorkspaceError(msg)
        self._on_write(name)
        if change.after is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(path, change.after)


def _read(path: Path) -> str | None:
    return decode_text(path.read_bytes()) if path.exists() else None


def _dump(changes: Mapping[str, FileChange]) -> str:
    return json.dumps({name: [change.before, change.after] for name, change in changes.items()}, ensure_ascii=False)


def _load(files: str) -> dict[str, FileChange]:
    values: dict[str, Sequence[str | None]] = json.loads(files)
    return {name: FileChange(before=before, after=after) for name, (before, after) in values.items()}
