"""The review of a workspace's groups as staff use it, on the page and in the terminal."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from apps.readers import read_templates
from apps.service_learning.database import FILE_NAME
from apps.service_learning.decisions import GroupDecision, Publish, in_force
from apps.service_learning.publishing import Publication, Publisher
from apps.service_learning.review import GroupReview, ReviewCounts, ReviewedGroup, ShownStatus
from apps.service_learning.slots import propose_slots
from apps.service_learning.state import LearningState, read_decisions
from apps.settings import Settings
from chains.customer_service import Slot


class LearningOverview(BaseModel):
    """How far a workspace is in learning from logs."""

    model_config = ConfigDict(frozen=True)

    num_conversations: int = Field(default=0, description="Read from logs.")
    num_requests: int = Field(default=0, description="Conversations in which something is asked.")
    private: Mapping[str, int] = Field(default={}, description="Kind of private data -> how often it was replaced.")
    groups: ReviewCounts = ReviewCounts()
    can_undo: bool = False
    intents: tuple[str, ...] = Field(default=(), description="Names of the intents that have an answer.")
    slots: tuple[str, ...] = Field(default=(), description="What an answer may hold in braces.")


class LearningDesk:
    """What staff do with the groups of one workspace; the state is opened when it is first needed.

    Args:
        settings: of the workspace.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.records_folder(settings.customer_service)
        self._lock = threading.RLock()
        self._state: LearningState | None = None

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            if self._state is not None:
                self._state.close()
                self._state = None

    @property
    def _path(self) -> Path:
        return self._settings.workspace / FILE_NAME

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[LearningState, GroupReview, Mapping[str, Slot]]]:
        with self._lock:
            if self._state is None:
                self._state = LearningState(self._path)
            known = self._known_slots()
            proposed = propose_slots(self._state.shapes(), self._settings.language)
            new = {name: slot for name, slot in proposed.items() if name not in known}
            yield self._state, GroupReview(self._state, slots=(*known, *new)), new

    def overview(self) -> LearningOverview:
        """Return how far the workspace is."""
        if not self._path.exists():  # nothing was read yet, and looking makes no file
            return LearningOverview()
        with self._open() as (state, review, new):
            intents = tuple(read_templates(self._templates).answers) if self._templates.exists() else ()
            return LearningOverview(
                num_conversations=state.count_conversations(),
                num_requests=state.count_requests(),
                private=state.private_counts(),
                groups=review.counts(),
                can_undo=review.can_undo(),
                intents=intents,
                slots=(*self._known_slots(), *new),
            )

    def list_groups(self, status: ShownStatus, *, limit: int | None = None, skip: int = 0) -> list[ReviewedGroup]:
        """Return the groups of a status, the largest first."""
        if not self._path.exists():
            return []
        with self._open() as (_, review, _new):
            return review.list_groups(status, limit=limit, skip=skip)

    def decide(self, decision: GroupDecision, *, person: str) -> list[ReviewedGroup]:
        """Take a decision and return the groups it leaves.

        Raises:
            UnknownGroupError: if a group does not exist.
            ReviewError: if the decision cannot be taken.
        """
        with self._open() as (_, review, _new):
            return review.decide(decision, person=person)

    def undo(self, *, person: str) -> str | None:
        """Take the last step back and return its kind; None if there is none.

        Raises:
            ReviewError: if it was written into a file that was changed since.
        """
        if not self._path.exists():
            return None
        with self._open() as (state, review, new):
            with state.database.transaction() as database:
                standing = in_force(read_decisions(database))
            if standing and isinstance(standing[-1].decision, Publish):
                Publisher(state, self._folder, new_slots=new).take_back(person=person)
                return "publish"
            undone = review.undo(person=person)
            return None if undone is None else undone.kind

    def publish(self, *, person: str) -> Publication:
        """Write what is accepted into the records of customer service.

        Raises:
            ReviewError: if nothing is accepted, or a name is taken.
            WorkspaceError: if a file cannot be added to; then nothing is written.
        """
        with self._open() as (state, review, new):
            return Publisher(state, self._folder, new_slots=new).publish(review, person=person)

    @property
    def _templates(self) -> Path:
        return self._folder / "templates.yaml"

    def _known_slots(self) -> Mapping[str, Slot]:
        return read_templates(self._templates).slots if self._templates.exists() else {}
