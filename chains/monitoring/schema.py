"""Data types of opinion monitoring: posts, readings, alerts, trend, request and report."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llms import Classification
from llms.texts import Id
from retrievers import EventTime


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Post(_Frozen):
    """One text from one source, dated by when it was written.

    Example:
        >>> post = Post(id="1", source="forum", text="The app is down", time="2026-03-02T09:30:00+01:00")
        >>> post.time.isoformat()
        '2026-03-02T09:30:00+01:00'
    """

    id: Id = Field(description="The same post of a source always has the same id; repeats are dropped.")
    source: str = Field(description="Where it was published.")
    text: str
    time: EventTime = Field(description="When it was published; a time without zone is refused.")

    @property
    def key(self) -> tuple[str, str]:
        """What makes two posts one: source and id."""
        return self.source, self.id


class Reading(_Frozen):
    """A post with what the classifiers made of it."""

    post: Post
    topic: Classification
    sentiment: Classification
    entities: tuple[str, ...] = Field(default=(), description="Companies that the text names.")


class Cause(_Frozen):
    """A post that speaks for an alert."""

    id: str
    time: AwareDatetime
    source: str
    text: str
    probability: float = Field(ge=0.0, le=1.0, description="Probability that the post is negative.")


class Alert(_Frozen):
    """A surge of negative opinion about one topic; the same `id` comes again when it closes."""

    id: str
    topic: str
    since: AwareDatetime = Field(description="Estimated start of the surge.")
    raised_at: AwareDatetime = Field(description="Event time at which the evidence sufficed.")
    negative_share: float = Field(ge=0.0, le=1.0, description="Share of negatives among the `size` posts.")
    baseline_share: float = Field(ge=0.0, le=1.0, description="Usual share for these posts' hours.")
    size: int = Field(ge=0, description="Posts of the topic while the surge lasted; copies do not count.")
    copies: int = Field(default=0, ge=0, description="Posts in that time which repeat the text of another one.")
    causes: tuple[Cause, ...] = Field(description="At most five, most probably negative first.")
    state: Literal["open", "closed"] = "open"
    closed_at: datetime | None = None
    escalations: int = Field(default=0, ge=0, description="How often the surge has doubled since the alert.")
    escalated_at: datetime | None = Field(default=None, description="When it last doubled.")
    track: Literal["share", "volume"] = Field(description="Which of the two tests raised it.")
    reason: str = Field(description="One sentence for people.")

    @property
    def changed_at(self) -> datetime:
        """Event time of its last change."""
        return self.closed_at or self.escalated_at or self.raised_at


class TrendPoint(_Frozen):
    """How many posts of one topic fell into one window, by sentiment; those of no known topic are under `unknown`."""

    topic: str
    start: AwareDatetime
    posts: int = Field(ge=0)
    negative: int = Field(ge=0)
    neutral: int = Field(ge=0, description="Neither negative nor positive.")
    positive: int = Field(ge=0)
    copies: int = Field(default=0, ge=0, description="Further posts, which repeat the text of another one.")
    baseline_share: float | None = Field(description="Usual share of negatives; None during warm-up.")

    def __add__(self, other: "TrendPoint") -> "TrendPoint":
        """Return the counts of both; the points must be of one topic and window."""
        later_share = other.baseline_share
        return TrendPoint(
            topic=self.topic,
            start=self.start,
            posts=self.posts + other.posts,
            negative=self.negative + other.negative,
            neutral=self.neutral + other.neutral,
            positive=self.positive + other.positive,
            copies=self.copies + other.copies,
            baseline_share=self.baseline_share if later_share is None else later_share,
        )


class Trend:
    """Counts by window and topic, added up from points that come in parts.

    Example:
        >>> from datetime import UTC
        >>> point = TrendPoint(topic="app", start=datetime(2026, 3, 2, tzinfo=UTC), posts=1, negative=1, neutral=0,
        ...                    positive=0, baseline_share=None)
        >>> [total.posts for total in Trend([point, point]).collect()]
        [2]
    """

    def __init__(self, points: Iterable[TrendPoint] = ()) -> None:
        self._points: dict[tuple[datetime, str], TrendPoint] = {}
        self._newest: datetime | None = None
        self._kept_up_to: datetime | None = None  # the newest window when old ones were last forgotten
        self.add(points)

    def add(self, points: Iterable[TrendPoint]) -> None:
        """Add points to those of the same window and topic."""
        for point in points:
            key = (point.start, point.topic)
            self._newest = max(point.start, self._newest or point.start)
            self._points[key] = self._points[key] + point if key in self._points else point

    def keep_last(self, duration: timedelta) -> None:
        """Forget windows that began so long before the latest one, or longer."""
        if self._newest is not None and self._newest != self._kept_up_to:
            self._kept_up_to = self._newest
            oldest = self._newest - duration
            self._points = {key: point for key, point in self._points.items() if key[0] > oldest}

    def collect(self) -> tuple[TrendPoint, ...]:
        """Return all windows that had posts, by start and topic."""
        return tuple(self._points[key] for key in sorted(self._points))


class SetAside(_Frozen):
    """A post that was not counted, with the reason."""

    post: Post
    reason: Literal["late", "future", "failed"]
    detail: str = Field(default="", description="Of a failed one: what a classifier said of its text.")


class MonitoringRequest(_Frozen):
    """Posts to be monitored, in any order."""

    posts: tuple[Post, ...]


class MonitoringReport(_Frozen):
    """What a stretch of the stream brought; reports of successive stretches can be added.

    Example:
        >>> (MonitoringReport(late=1) + MonitoringReport(late=2, duplicates=1)).late
        3
    """

    readings: tuple[Reading, ...] = ()
    alerts: tuple[Alert, ...] = Field(default=(), description="New and changed alerts, each once, oldest first.")
    trend: tuple[TrendPoint, ...] = Field(default=(), description="Posts counted in this stretch, by window.")
    late: int = Field(default=0, ge=0, description="Posts that came after the allowed lateness.")
    future: int = Field(default=0, ge=0, description="Posts dated too far in the future.")
    duplicates: int = Field(default=0, ge=0, description="Posts whose id had been seen before.")
    failed: int = Field(default=0, ge=0, description="Posts whose text a classifier cannot read.")
    set_aside: tuple[SetAside, ...] = Field(default=(), description="The late, the future and the failed posts.")
    copies: tuple[tuple[str, str], ...] = Field(
        default=(), description="Source and id of posts that turned out to repeat the text of another one."
    )

    def __add__(self, other: "MonitoringReport") -> "MonitoringReport":
        """Return one report for both stretches; `other` is the later one."""
        return self.merge((self, other))

    @classmethod
    def merge(cls, reports: Iterable["MonitoringReport"]) -> Self:
        """Return one report for all stretches, in order.

        Counts of the same topic and window are added; of alerts with the same id the last one stays.

        Args:
            reports: oldest first; none gives an empty report.
        """
        parts = list(reports)
        alerts = {alert.id: alert for part in parts for alert in part.alerts}
        return cls(
            readings=tuple(reading for part in parts for reading in part.readings),
            alerts=tuple(sorted(alerts.values(), key=lambda alert: (alert.raised_at, alert.id))),
            trend=Trend(point for part in parts for point in part.trend).collect(),
            late=sum(part.late for part in parts),
            future=sum(part.future for part in parts),
            duplicates=sum(part.duplicates for part in parts),
            failed=sum(part.failed for part in parts),
            set_aside=tuple(item for part in parts for item in part.set_aside),
            copies=tuple(key for part in parts for key in part.copies),
        )
