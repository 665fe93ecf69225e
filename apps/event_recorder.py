"""Recording of events as they come, and the record of behaviour that recommendation reads them from."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from apps.event_log import EventLog, Source
from retrievers import CLOCK_TOLERANCE, DatedEvent, Event, EventColumns, EventKind, Interactions, utc_now

JudgeTexts = Callable[[Sequence[str]], Sequence[float | None]]
"""texts -> the opinion of each, from -1, all against, to 1, all for."""


class RecordedEvents(BaseModel):
    """What became of events that were sent."""

    num_recorded: int = Field(ge=0, description="New ones, which are on the disk now.")
    num_repeated: int = Field(ge=0, description="Events of a user, item, kind and second that was there already.")
    num_future_events: int = Field(
        ge=0, description="Dated more than ten minutes ahead of the clock; they were set aside."
    )
    unknown_items: tuple[str, ...] = Field(
        default=(), description="Ids that are no items, such as deleted ones; their events were passed over."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecorder:
    """Takes events into the log.

    Attributes:
        log: where they are kept.
        items: ids of the catalogue.
        judge_texts: reads opinions off the texts of comments; None where nothing can.
        clock: returns the present time.
    """

    log: EventLog
    items: Collection[str]
    judge_texts: JudgeTexts | None = None
    clock: Callable[[], datetime] = utc_now

    def judge(self, events: Sequence[DatedEvent]) -> list[DatedEvent]:
        """Return the events, comments with the opinion that their text expresses."""
        return list(events) if self.judge_texts is None else judge_comments(events, self.judge_texts)

    def record(self, events: Sequence[DatedEvent], *, source: Source = "client") -> RecordedEvents:
        """Keep events; when this returns they are on the disk.

        Raises:
            DiskFullError: if there is no room; then none is kept.
            EventFileError: if the log cannot be used.
        """
        latest = self.clock() + CLOCK_TOLERANCE
        known = [event for event in events if event.item in self.items]
        past = [event for event in known if event.time <= latest]
        num_new = self.log.add(past, source=source) if past else 0
        return RecordedEvents(
            num_recorded=num_new,
            num_repeated=len(past) - num_new,
            num_future_events=len(known) - len(past),
            unknown_items=tuple(dict.fromkeys(event.item for event in events if event.item not in self.items)),
        )


def judge_comments(events: Sequence[DatedEvent], judge_texts: JudgeTexts) -> list[DatedEvent]:
    """Return the events; a comment with a text and without an opinion has the one that its text expresses."""
    judged = list(events)
    rows = [at for at, event in enumerate(events) if _is_unjudged(event)]
    opinions = judge_texts([events[at].text for at in rows]) if rows else ()
    for at, opinion in zip(rows, opinions, strict=True):
        judged[at] = judged[at].model_copy(update={"opinion": opinion})
    return judged


def _is_unjudged(event: DatedEvent) -> bool:
    return event.event is EventKind.COMMENT and event.opinion is None and bool(event.text.strip())


class LiveRecord:
    """What people did so far, read from the log: an event is there as soon as it was acknowledged.

    Args:
        log: of the workspace.
        interactions: what was read of it at the start.
        last: the number up to which that was read.
    """

    def __init__(self, log: EventLog, interactions: Interactions, last: int) -> None:
        self._log = log
        self._last = last
        self._columns = interactions.columns
        self._items = {item: at for at, item in enumerate(interactions.items)}
        self._users = {user: at for at, user in enumerate(interactions.users)}
        self._lock = threading.Lock()

    def history(self, user: str) -> Sequence[Event]:
        """Return the user's events, oldest first, without what was only shown to them: it says nothing of a taste."""
        return self._log.history(user, with_shown=False)

    def popularity(self, days: float | None, now: datetime) -> Mapping[str, int]:
        """Return item id -> number of different users with interest in it in the last `days` (None: ever)."""
        with self._lock:  # two at once would give one number to two users
            self._catch_up()
            columns = self._columns
        counts = columns.count_users(len(self._items), days=days, now=now)
        return dict(zip(self._items, counts.tolist(), strict=True))

    def _catch_up(self) -> None:
        events, last = self._log.read(after=self._last)
        known = [event for event in events if event.item in self._items]
        for event in known:
            self._users.setdefault(event.user, len(self._users))
        if known:
            self._columns = self._columns.joined(EventColumns.of(known, self._users, self._items))
        self._last = last
