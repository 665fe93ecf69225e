"""Evaluation of alerts: detection delay and false alarms."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from chains.monitoring.schema import Alert

MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KnownSurge:
    """A surge that is known to have happened."""

    topic: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class AlertScores:
    """Delay of every known surge, and the false alarms."""

    delay_hours: tuple[float | None, ...]  # in the order of the surges; None where a surge was missed
    found: int
    false_alarms: int
    false_alarms_per_topic_month: float

    @property
    def median_delay_hours(self) -> float | None:
        """Median over all surges, a missed one being later than any; None if that is a missed one."""
        delays = [float("inf") if delay is None else delay for delay in self.delay_hours]
        middle = median(delays) if delays else float("inf")
        return None if middle == float("inf") else middle


def score_alerts(
    alerts: Sequence[Alert], known_surges: Sequence[KnownSurge], *, topics: Collection[str], duration: timedelta
) -> AlertScores:
    """Return delays and false alarms of alerts against what is known to have happened.

    The first alert of a surge's topic raised between its start and its end finds it; further ones in that
    time are neither hits nor false. Every other alert is a false alarm.

    Args:
        alerts: in any order; an alert that comes twice (opened, closed) counts once.
        known_surges: of one topic not overlapping.
        topics: all topics watched, also those without a surge.
        duration: how long they were watched.

    Raises:
        ValueError: if there is no topic or the duration is not positive.

    Example:
        >>> from datetime import UTC
        >>> start = datetime(2026, 3, 2, tzinfo=UTC)
        >>> surge = KnownSurge("fees", start, start + timedelta(days=1))
        >>> score_alerts([], [surge], topics=["fees"], duration=MONTH)
        AlertScores(delay_hours=(None,), found=0, false_alarms=0, false_alarms_per_topic_month=0.0)
    """
    if not topics or duration <= timedelta(0):
        msg = f"topics must not be empty and duration must be positive, got {len(topics)} topics, {duration}"
        raise ValueError(msg)
    single = {alert.id: alert for alert in alerts}
    explained: set[str] = set()
    delays: list[float | None] = []
    for surge in known_surges:
        hits = [
            alert
            for alert in single.values()
            if alert.topic == surge.topic and surge.start <= alert.raised_at <= surge.end
        ]
        explained.update(alert.id for alert in hits)
        first = min((alert.raised_at for alert in hits), default=None)
        delays.append(None if first is None else (first - surge.start).total_seconds() / 3600)
    false_alarms = len(single) - len(explained)
    return AlertScores(
        delay_hours=tuple(delays),
        found=sum(delay is not None for delay in delays),
        false_alarms=false_alarms,
        false_alarms_per_topic_month=false_alarms / (len(topics) * (duration / MONTH)),
    )
