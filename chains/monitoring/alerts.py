"""The alert of one topic: when it opens and closes, and what it says."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chains.monitoring.change_points import StepRecord, Track, calm_log_odds, find_end, find_start, sum_records
from chains.monitoring.detectors import CumulativeSum, SurgeDetector
from chains.monitoring.likelihood import STEP_S
from chains.monitoring.representative_posts import CauseKeeper
from chains.monitoring.schema import Alert

CALM = timedelta(hours=6)  # a surge may pause for a night
EXIT_ODDS = 20.0  # for normal times against the surge going on, at which it counts as over
NEW_NORMAL = timedelta(days=7)  # a surge that lasts a week is how the topic is from now on


class AlertKeeper:
    """The alert of one topic: at most one is open, and none opens during the cool-down.

    It opens when either test reaches its threshold. It closes when the surge has been followed by some hours
    that clearly look normal and not like the surge. Whoever owns the detector tells it of either.

    Args:
        topic: what the alerts are about.
        cool_down: time from the end of an alert to the next.
        min_negatives: summed negative probability of the posts since the surge began; an alert waits for it.
    """

    def __init__(self, topic: str, *, cool_down: timedelta, min_negatives: float) -> None:
        self._topic = topic
        self._min_negatives = min_negatives
        self._cool_down_s = cool_down.total_seconds()
        self._quiet_until_s = float("-inf")
        self._open: Alert | None = None

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
        return {"quiet_until_s": self._quiet_until_s, "open": opened}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self._quiet_until_s = state["quiet_until_s"]
        self._open = None if state["open"] is None else Alert.model_validate(state["open"])

    def review(self, detector: SurgeDetector, causes: CauseKeeper, *, now_s: float) -> Alert | None:
        """Return the alert that this step opened or closed, if any.

        Args:
            detector: with the step already added.
            causes: the posts to choose the alert's causes from.
            now_s: end of the step in Unix time.
        """
        tests: dict[Track, CumulativeSum] = {"share": detector.share, "volume": detector.volume}
        above = {track: test for track, test in tests.items() if test.is_above}
        if self._open is not None:
            return self._close(self._open, detector, causes, now_s) if _is_over(self._open, detector, now_s) else None
        if above and now_s >= self._quiet_until_s:
            return self._raise(above, detector, causes, now_s)
        return None

    def _raise(
        self, above: dict[Track, CumulativeSum], detector: SurgeDetector, causes: CauseKeeper, now_s: float
    ) -> Alert | None:
        track, test = max(above.items(), key=lambda item: item[1].value / item[1].threshold)
        records = detector.recall(test.first_step)
        surge = sum_records(records[find_start(records, track) :])
        if surge.negatives < self._min_negatives:
            return None
        since = datetime.fromtimestamp(surge.step * STEP_S, UTC)
        self._open = Alert(
            id=f"{self._topic}@{since:%Y-%m-%dT%H:%MZ}",
            topic=self._topic,
            since=since,
            raised_at=datetime.fromtimestamp(now_s, UTC),
            causes=causes.select(since_s=since.timestamp(), until_s=now_s),
            track=track,
            **_describe(surge, track, since),
        )
        return self._open

    def _close(self, alert: Alert, detector: SurgeDetector, causes: CauseKeeper, now_s: float) -> Alert:
        """Return the closed alert, with the figures of the surge and not of the calm after it."""
        self._open = None
        self._quiet_until_s = now_s + self._cool_down_s
        since_s = alert.since.timestamp()
        records = detector.recall(int(since_s // STEP_S))
        records = records[: find_end(records, alert.track) + 1]
        chosen = causes.select(since_s=since_s, until_s=float((records[-1].step + 1) * STEP_S))
        changes: dict[str, Any] = {
            "state": "closed",
            "closed_at": datetime.fromtimestamp(now_s, UTC),
            "causes": chosen or alert.causes,
        }
        return alert.model_copy(update=changes | _describe(sum_records(records), alert.track, alert.since))


def _is_over(alert: Alert, detector: SurgeDetector, now_s: float) -> bool:
    since_s = alert.since.timestamp()
    if now_s - since_s >= NEW_NORMAL.total_seconds():
        return True
    records = detector.recall(int(since_s // STEP_S))
    end = find_end(records, alert.track) + 1
    surge, calm = sum_records(records[:end]), sum_records(records[end:])
    is_long = now_s - (records[end - 1].step + 1) * STEP_S >= CALM.total_seconds()
    return is_long and calm_log_odds(calm, surge) >= math.log(EXIT_ODDS)


def _describe(seen: StepRecord, track: Track, since: datetime) -> dict[str, Any]:
    """Return shares, size and reason of what was seen since the surge began."""
    posts = max(seen.posts, 1)
    share, usual = min(1.0, seen.negatives / posts), min(1.0, seen.baseline_negatives / posts)
    shares = f"negative share {share:.0%} of {seen.posts} posts".replace("%", " %")
    start, usually = f"since {since:%H:%M} UTC", f"usual {usual:.0%}".replace("%", " %")
    if track == "share":
        reason = f"{shares} {start}, {usually}"
    else:
        reason = f"{seen.negatives:.0f} negative posts {start}, usual {seen.baseline_volume:.1f}; {shares}, {usually}"
    if seen.copies:
        reason += f"; {seen.copies} further posts repeat the text of another and do not count"
    figures = {"negative_share": share, "baseline_share": usual, "size": seen.posts, "copies": seen.copies}
    return figures | {"reason": reason}
