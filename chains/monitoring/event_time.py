"""Event-time order, a watermark per source: repeats dropped, late and future posts set aside, wrong clocks ignored."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Post, Reading

_NUM_WITNESSES = 3  # posts that move the stream by a jump, if they are not of one source among several
_NUM_OF_ONE_SOURCE = 50  # that move it all the same: then the others have ended
_LONGEST_DELAY_S = 3600.0  # of a source that is waited for; what comes later is late
_DELAY_KEPT_S = 86_400.0  # since it was last seen
_LIVE_WITHIN_S = 3600.0  # of the clock: a stream whose posts are older is a replay, in which the clock tells nothing
_MAX_DELAYS = 500  # sources whose delays are remembered
REMEMBERED_IDS = 200_000  # about 30 MB; a repeat older than that is late anyway in most streams

Verdict = Literal["new", "duplicate", "late", "future"]


@dataclass(slots=True)
class _Source:
    """How far a source has come, and how far the stream had when it was last heard."""

    latest_s: float
    heard_s: float


class PostIntake:
    """Decides which posts count and hands their readings out in the order of event times.

    The watermark is what the slowest source has come to, less the allowed lateness. A reading is held back until the
    watermark has passed it, so any order of arrival within the lateness gives the same result. A source that has
    said nothing while the others moved on by `idle_after` is not waited for. Where the posts of one come late, up to
    an hour, as those of a feed that is asked every 20 minutes, the watermark stays so far behind for a day.

    A post that is dated more than `max_jump` ahead of the stream moves the watermark only once two others have come
    as far, and of one source among several many more: one wrong clock makes nobody late.

    Args:
        options: how late, how far ahead and how silent a source may be.
        clock: the present time.
        remembered_ids: how many ids are kept to recognise repeats.

    Example:
        >>> from retrievers import utc_now
        >>> intake = PostIntake(MonitoringOptions(), clock=utc_now)
        >>> post = Post(id="1", source="s", text="t", time="2026-03-02T09:30:00Z")
        >>> intake.admit(post), intake.admit(post)
        ('new', 'duplicate')
    """

    def __init__(
        self, options: MonitoringOptions, *, clock: Callable[[], datetime], remembered_ids: int = REMEMBERED_IDS
    ) -> None:
        self._lateness_s = options.allowed_lateness.total_seconds()
        self._idle_after_s = options.idle_after.total_seconds()
        self._max_future_s = options.max_future.total_seconds()
        self._max_jump_s = options.max_jump.total_seconds()
        self._clock = clock
        self._remembered_ids = remembered_ids
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._held: list[tuple[float, str, str, int, Reading]] = []
        self._num_held = 0  # breaks ties, because readings have no order
        self._latest_s = float("-inf")
        self._watermark_s = float("-inf")
        self._active: dict[str, _Source] = {}
        self._delays: OrderedDict[str, tuple[float, float]] = OrderedDict()  # source -> its delay, and as of when
        self._ahead: list[tuple[float, str]] = []  # heap of times, with sources, that others have yet to bear out
        self._is_live = False

    @property
    def watermark_s(self) -> float:
        """Unix time before which nothing is accepted any more; minus infinity before the third post."""
        return self._watermark_s

    @property
    def end_s(self) -> float:
        """Unix time of the latest post, though no other may bear it out; minus infinity before the first post."""
        return max([self._latest_s, self._watermark_s, *(time_s for time_s, _ in self._ahead)])

    def judge(self, post: Post) -> Verdict:
        """Return what the post would be if it came now; nothing changes."""
        if post.key in self._ids:
            return "duplicate"
        time_s = post.time.timestamp()
        if time_s > self._clock().timestamp() + self._max_future_s:
            return "future"
        return "late" if time_s < self._watermark_s else "new"

    def admit(self, post: Post) -> Verdict:
        """Return whether the post counts; a new one may move the watermark."""
        verdict = self.judge(post)
        if verdict not in ("duplicate", "future"):  # the source may correct a date
            self.take(post)
        return verdict

    def take(self, post: Post) -> None:
        """Let a post count whose verdict was found before, or remember that it was late."""
        self._ids[post.key] = None
        if len(self._ids) > self._remembered_ids:
            self._ids.popitem(last=False)
        time_s = post.time.timestamp()
        delay_s = self._latest_s - time_s
        if self._lateness_s < delay_s <= _LONGEST_DELAY_S:
            self._learn_delay(post.source, delay_s)
        if time_s >= self._watermark_s or delay_s <= _LONGEST_DELAY_S:
            self._advance(time_s, post.source)
            self._is_live = self._latest_s >= self._clock().timestamp() - _LIVE_WITHIN_S

    def tick(self) -> None:
        """Let the clock move the watermark where the stream is live: silence holds nothing back for ever."""
        if self._is_live and self._active:
            wait_s = max(self._idle_after_s, self._find_delay())
            self.advance_to(self._clock().timestamp() - self._lateness_s - wait_s)

    def advance_to(self, watermark_s: float) -> None:
        """Accept nothing any more before a Unix time."""
        self._watermark_s = max(self._watermark_s, watermark_s)

    def _advance(self, time_s: float, source: str) -> None:
        if time_s > self._latest_s + self._max_jump_s:
            heapq.heappush(self._ahead, (time_s, source))
        else:
            self._move(time_s, source)
        while self._ahead and (self._has_witnesses() or self._ahead[0][0] <= self._latest_s + self._max_jump_s):
            self._move(*heapq.heappop(self._ahead))
        active = self._active
        if len(active) > 1:
            silent = [name for name, at in active.items() if self._latest_s - at.heard_s > self._idle_after_s]
            for name in silent:
                del active[name]
        if active:
            slowest_s = min(at.latest_s for at in active.values())
            self.advance_to(min(slowest_s, self._latest_s - self._find_delay()) - self._lateness_s)

    def _has_witnesses(self) -> bool:
        if len(self._ahead) < _NUM_WITNESSES:
            return False
        sources = {source for _, source in self._ahead}
        return len(sources) > 1 or self._active.keys() <= sources or len(self._ahead) >= _NUM_OF_ONE_SOURCE

    def _move(self, time_s: float, source: str) -> None:
        self._latest_s = max(self._latest_s, time_s)
        if source in self._active:
            known = self._active[source]
            known.latest_s, known.heard_s = max(known.latest_s, time_s), self._latest_s
        else:
            self._active[source] = _Source(time_s, self._latest_s)

    def _learn_delay(self, source: str, delay_s: float) -> None:
        known_s, _ = self._delays.pop(source, (0.0, 0.0))
        self._delays[source] = (max(delay_s, known_s), self._latest_s)
        if len(self._delays) > _MAX_DELAYS:
            self._delays.popitem(last=False)

    def _find_delay(self) -> float:
        """Return how late posts come that are waited for."""
        while self._delays and next(iter(self._delays.values()))[1] < self._latest_s - _DELAY_KEPT_S:
            self._delays.popitem(last=False)
        return max((delay_s for delay_s, _ in self._delays.values()), default=0.0)

    def hold(self, reading: Reading) -> None:
        """Keep the reading of an admitted post until the watermark has passed it."""
        self._num_held += 1
        post = reading.post
        heapq.heappush(self._held, (post.time.timestamp(), post.id, post.source, self._num_held, reading))

    def release(self, *, everything: bool = False) -> Iterator[Reading]:
        """Hand out the readings the watermark has passed, oldest first; or all of them."""
        until_s = float("inf") if everything else self._watermark_s
        while self._held and self._held[0][0] < until_s:
            yield heapq.heappop(self._held)[-1]

    def dump(self) -> dict[str, Any]:
        """Return everything but the ids, as plain values."""
        return {
            "latest_s": self._latest_s,
            "watermark_s": self._watermark_s,
            "is_live": self._is_live,
            "active": {name: [at.latest_s, at.heard_s] for name, at in self._active.items()},
            "delays": dict(self._delays),
            "ahead": [list(entry) for entry in self._ahead],
            "held": [entry[-1].model_dump(mode="json") for entry in sorted(self._held, key=lambda entry: entry[:-1])],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self._latest_s, self._watermark_s = state["latest_s"], state["watermark_s"]
        self._is_live = state["is_live"]
        self._active = {name: _Source(*times) for name, times in state["active"].items()}
        self._delays = OrderedDict((name, (delay_s, at_s)) for name, (delay_s, at_s) in state["delays"].items())
        self._ahead = [(time_s, source) for time_s, source in state["ahead"]]
        for reading in state["held"]:
            self.hold(Reading.model_validate(reading))
