"""The alert of one topic: when it opens and closes, and what it says."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chains.monitoring.change_points import StepRecord, SurgeExtent, Track, calm_log_odds, find_start, sum_records
from chains.monitoring.detectors import CumulativeSum, SurgeDetector
from chains.monitoring.likelihood import STEP_S
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.representative_posts import CauseKeeper
from chains.monitoring.schema import Alert
from chains.monitoring.wording import describe_surge

CALM = timedelta(hours=6)  # a surge may pause for a night
EXIT_ODDS = 20.0  # for normal times against the surge going on, at which it counts as over
ESCALATION_ODDS = 100.0  # for a higher level against chance, before a surge counts as doubled
MIN_ESCALATION = 10.0  # negative posts of an hour; fewer double by chance
NEW_NORMAL = timedelta(days=7)  # a surge that lasts a week is how the topic is from now on


class AlertKeeper:
    """The alert of one topic: at most one is open, and none opens during the cool-down.

    It opens when either test reaches its threshold, and escalates each time the surge has doubled. It closes when the
    surge has been followed by some hours that clearly look normal and not like the surge. Whoever owns the detector
    tells it of either.

    Args:
        topic: what the alerts are about.
        options: how to watch.
    """

    def __init__(self, topic: str, options: MonitoringOptions) -> None:
        self._topic = topic
        self._options = options
        self._quiet_until_s = float("-inf")
        self._open: Alert | None = None
        self._extent: SurgeExtent | None = None  # of the open alert; None until it is looked at
        self._level = 1.0  # of negatives against the usual number, as the open alert told it

    @property
    def is_open(self) -> bool:
        """True while an alert is open."""
        return self._open is not None

    @property
    def since_s(self) -> float | None:
        """Unix time at which the open alert's surge began."""
        return None if self._open is None else self._open.since.timestamp()

    def dump(self) -> dict[str, Any]:
        """Return everything, as plain values."""
        opened = None if self._open is None else self._open.model_dump(mode="json")
        return {"quiet_until_s": self._quiet_until_s, "open": opened, "level": self._level}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self._quiet_until_s = state["quiet_until_s"]
        self._open = None if state["open"] is None else Alert.model_validate(state["open"])
        self._extent = None
        self._level = state.get("level", math.inf)  # of an alert that an earlier version raised: it never escalates

    def review(self, detector: SurgeDetector, causes: CauseKeeper, *, now_s: float) -> Alert | None:
        """Return the alert that this step opened, escalated or closed, if any.

        Args:
            detector: with the step already added.
            causes: the posts to choose the alert's causes from.
            now_s: end of the step in Unix time.
        """
        if self._open is not None:
            return self._follow(self._open, detector, causes, now_s)
        tests: dict[Track, CumulativeSum] = {"share": detector.share, "volume": detector.volume}
        above = {track: test for track, test in tests.items() if test.is_above}
        if above and now_s >= self._quiet_until_s:
            return self._raise(above, detector, causes, now_s)
        return None

    def _raise(
        self, above: dict[Track, CumulativeSum], detector: SurgeDetector, causes: CauseKeeper, now_s: float
    ) -> Alert | None:
        track, test = max(above.items(), key=lambda item: item[1].value / item[1].threshold)
        records = detector.recall(test.first_step)
        start = find_start(records, track)
        surge = sum_records(records[start:])
        if surge.negatives < self._options.min_negative_posts:
            return None
        since = datetime.fromtimestamp(surge.step * STEP_S, UTC)
        self._open = Alert(
            id=f"{self._topic}@{since:%Y-%m-%dT%H:%MZ}",
            topic=self._topic,
            since=since,
            raised_at=datetime.fromtimestamp(now_s, UTC),
            causes=causes.select(since_s=since.timestamp(), until_s=now_s),
            track=track,
            **self._describe(surge, track, since),
        )
        self._extent = SurgeExtent(track, records[start:])
        self._level = _find_level(surge)
        return self._open

    def _follow(self, alert: Alert, detector: SurgeDetector, causes: CauseKeeper, now_s: float) -> Alert | None:
        """Return the open alert, where the step that ended closes or escalates it."""
        if self._extent is None:  # what was kept has the steps, not what they add up to
            self._extent = SurgeExtent(alert.track, detector.recall(int(alert.since.timestamp() // STEP_S)))
        elif detector.latest is not None:
            self._extent.add(detector.latest)
        if _is_over(alert, self._extent, now_s):
            return self._close(alert, self._extent, causes, now_s)
        recent = sum_records(self._extent.recent)
        if not _has_doubled(recent, self._level):
            return None
        self._level = _find_level(recent)
        now = datetime.fromtimestamp(now_s, UTC)
        changes: dict[str, Any] = {
            "escalations": alert.escalations + 1,
            "escalated_at": now,
            "causes": causes.select(since_s=alert.since.timestamp(), until_s=now_s) or alert.causes,
        }
        seen = sum_records([self._extent.surge, self._extent.calm])
        changes |= self._describe(seen, alert.track, alert.since, escalated_at=now)
        self._open = alert.model_copy(update=changes)
        return self._open

    def _close(self, alert: Alert, extent: SurgeExtent, causes: CauseKeeper, now_s: float) -> Alert:
        """Return the closed alert, with the figures of the surge and not of the calm after it."""
        self._open = self._extent = None
        self._quiet_until_s = now_s + self._options.cool_down.total_seconds()
        chosen = causes.select(since_s=alert.since.timestamp(), until_s=float((extent.last_step + 1) * STEP_S))
        changes: dict[str, Any] = {
            "state": "closed",
            "closed_at": datetime.fromtimestamp(now_s, UTC),
            "causes": chosen or alert.causes,
        }
        changes |= self._describe(extent.surge, alert.track, alert.since, escalated_at=alert.escalated_at)
        return alert.model_copy(update=changes)

    def _describe(
        self, seen: StepRecord, track: Track, since: datetime, *, escalated_at: datetime | None = None
    ) -> dict[str, Any]:
        """Return shares, size and reason of what was seen since the surge began."""
        posts = max(seen.posts, 1)
        options = self._options
        return {
            "negative_share": min(1.0, seen.negatives / posts),
            "baseline_share": min(1.0, seen.baseline_negatives / posts),
            "size": seen.posts,
            "copies": seen.copies,
            "reason": describe_surge(
                seen, track, since, zone=options.zone, language=options.language, escalated_at=escalated_at
            ),
        }


def _is_over(alert: Alert, extent: SurgeExtent, now_s: float) -> bool:
    if now_s - alert.since.timestamp() >= NEW_NORMAL.total_seconds():
        return True
    is_long = now_s - (extent.last_step + 1) * STEP_S >= CALM.total_seconds()
    return is_long and calm_log_odds(extent.calm, extent.surge) >= math.log(EXIT_ODDS)


def _find_level(seen: StepRecord) -> float:
    return seen.negatives / max(seen.baseline_volume, 1e-9)


def _has_doubled(recent: StepRecord, level: float) -> bool:
    """Return whether the last hour clearly has twice the negatives that a surge at this level brings."""
    expected = recent.baseline_volume * level
    if recent.negatives < max(MIN_ESCALATION, 2 * expected):
        return False
    gain = recent.negatives * math.log(recent.negatives / max(expected, 1e-9)) - (recent.negatives - expected)
    return gain >= math.log(ESCALATION_ODDS)
