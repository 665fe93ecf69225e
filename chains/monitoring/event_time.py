"""Event-time order with a watermark: repeats dropped, late and future posts set aside, single wrong clocks ignored."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from chains.monitoring.schema import Post, Reading

_NUM_WITNESSES = 3  # posts that move the stream by a jump
REMEMBERED_IDS = 200_000  # about 30 MB; a repeat older than that is late anyway in most streams

Verdict = Literal["new", "duplicate", "late", "future"]


class PostIntake:
    """Decides which posts count and hands their readings out in the order of event times.

    The watermark is the latest accepted event time less the allowed lateness. A reading is held back
    until the watermark has passed it, so any order of arrival within the lateness gives the same result.
    A post that is dated more than `max_jump` ahead of the stream moves the watermark only once two others have come
    as far: one wrong clock makes nobody late.

    Args:
        allowed_lateness: how far behind the latest post a post may be.
        max_future: how far ahead of `clock` a post may be dated.
        max_jump: how far ahead of the latest post one post alone may move the stream.
        clock: the present time.
        remembered_ids: how many ids are kept to recognise repeats.

    Example:
        >>> from retrievers import utc_now
        >>> intake = PostIntake(
        ...     allowed_lateness=timedelta(0), max_future=timedelta(0), max_jump=timedelta(days=1), clock=utc_now
        ... )
        >>> post = Post(id="1", source="s", text="t", time="2026-03-02T09:30:00Z")
        >>> intake.admit(post), intake.admit(post)
        ('new', 'duplicate')
    """

    def __init__(
        self,
        *,
        allowed_lateness: timedelta,
        max_future: timedelta,
        max_jump: timedelta,
        clock: Callable[[], datetime],
        remembered_ids: int = REMEMBERED_IDS,
    ) -> None:
        self._allowed_lateness_s = allowed_lateness.total_seconds()
        self._max_future_s = max_future.total_seconds()
        self._max_jump_s = max_jump.total_seconds()
        self._clock = clock
        self._remembered_ids = remembered_ids
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._held: list[tuple[float, str, int, Reading]] = []
        self._num_held = 0  # breaks ties, because readings have no order
        self._latest_s = float("-inf")
        self._ahead_s: list[float] = []  # heap of the times that others have yet to bear out

    @property
    def watermark_s(self) -> float:
        """Unix time before which nothing is accepted any more; minus infinity before the third post."""
        return self._latest_s - self._allowed_lateness_s

    @property
    def latest_s(self) -> float:
        """Unix time that the stream has come to; minus infinity before the third post."""
        return self._latest_s

    @property
    def end_s(self) -> float:
        """Unix time of the latest post, though no other may bear it out; minus infinity before the first post."""
        return max([self._latest_s, *self._ahead_s])

    def admit(self, post: Post) -> Verdict:
        """Return whether the post counts; a new one moves the watermark."""
        if post.id in self._ids:
            return "duplicate"
        time_s = post.time.timestamp()
        if time_s > self._clock().timestamp() + self._max_future_s:
            return "future"  # its id is not kept: the source may correct the date
        self._ids[post.id] = None
        if len(self._ids) > self._remembered_ids:
            self._ids.popitem(last=False)
        if time_s < self.watermark_s:
            return "late"
        self._advance(time_s)
        return "new"

    def _advance(self, time_s: float) -> None:
        if time_s > self._latest_s + self._max_jump_s:
            heapq.heappush(self._ahead_s, time_s)
        else:
            self._latest_s = max(self._latest_s, time_s)
        while self._ahead_s and (
            len(self._ahead_s) >= _NUM_WITNESSES or self._ahead_s[0] <= self._latest_s + self._max_jump_s
        ):
            self._latest_s = max(self._latest_s, heapq.heappop(self._ahead_s))

    def hold(self, reading: Reading) -> None:
        """Keep the reading of an admitted post until the watermark has passed it."""
        self._num_held += 1
        heapq.heappush(self._held, (reading.post.time.timestamp(), reading.post.id, self._num_held, reading))

    def release(self, *, everything: bool = False) -> Iterator[Reading]:
        """Hand out the readings the watermark has passed, oldest first; or all of them."""
        until_s = float("inf") if everything else self.watermark_s
        while self._held and self._held[0][0] < until_s:
            yield heapq.heappop(self._held)[-1]
