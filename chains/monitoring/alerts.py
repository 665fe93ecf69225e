"""When an alert opens, stays, and closes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from chains.monitoring.causes import CauseKeeper
from chains.monitoring.detectors import CumulativeSum, Excursion, SurgeDetector
from chains.monitoring.evidence import STEP_S
from chains.monitoring.schema import Alert

__all__ = ["NEW_NORMAL", "AlertKeeper"]

NEW_NORMAL = timedelta(days=7)  # a surge that lasts a week is how the topic is from now on


class AlertKeeper:
    """The alert of one topic: at most one is open, and none opens during the cool-down.

    It opens when either test reaches its threshold. While it is open the statistics are held at their
    thresholds; it closes when every test that had reached its threshold is back at zero, that is, when the
    evidence for normal times outweighs all that raised it.

    Args:
        topic: what the alerts are about.
        cool_down: time from the end of an alert to the next.
    """

    def __init__(self, topic: str, *, cool_down: timedelta) -> None:
        self._topic = topic
        self._cool_down_s = cool_down.total_seconds()
        self._quiet_until_s = float("-inf")
        self._open: Alert | None = None
        self._surging: dict[str, CumulativeSum] = {}
        self._seen = Excursion(first_step=0)

    @property
    def is_open(self) -> bool:
        """True while an alert is open."""
        return self._open is not None

    @property
    def since_s(self) -> float | None:
        """Unix time at which the open alert's surge began."""
        return None if self._open is None else self._open.since.timestamp()

    def review(self, detector: SurgeDetector, causes: CauseKeeper, *, now_s: float) -> Alert | None:
        """Return the alert that this step opened or closed, if any.

        Args:
            detector: with the step already added.
            causes: the posts to choose the alert's causes from.
            now_s: end of the step in Unix time.
        """
        tests = {"share": detector.share, "volume": detector.volume}
        above = {track: test for track, test in tests.items() if test.is_above}
        alert = self._open
        changed: Alert | None = None
        if alert is None and above and now_s >= self._quiet_until_s:
            changed = self._open_alert(above, causes, now_s)
        elif alert is not None:
            changed = self._follow(alert, above, causes, now_s)
        for test in above.values():
            test.cap()
        return changed

    def _open_alert(self, above: dict[str, CumulativeSum], causes: CauseKeeper, now_s: float) -> Alert:
        track, test = max(above.items(), key=lambda item: item[1].value / item[1].threshold)
        self._surging = dict(above)
        self._seen = test.excursion
        since_s = float(test.excursion.first_step * STEP_S)
        since = datetime.fromtimestamp(since_s, UTC)
        self._open = Alert(
            id=f"{self._topic}@{since:%Y-%m-%dT%H:%MZ}",
            topic=self._topic,
            since=since,
            raised_at=datetime.fromtimestamp(now_s, UTC),
            causes=causes.select(since_s=since_s),
            track="share" if track == "share" else "volume",
            **_describe(self._seen, track, since),
        )
        return self._open

    def _follow(
        self, alert: Alert, above: dict[str, CumulativeSum], causes: CauseKeeper, now_s: float
    ) -> Alert | None:
        """Return the closed alert once the surge is over; a surge that lasts renews its figures."""
        self._surging |= above
        still_surging = {track: test for track, test in self._surging.items() if test.value > 0}
        ended = not still_surging or now_s - alert.since.timestamp() >= NEW_NORMAL.total_seconds()
        self._surging = still_surging
        if above:
            self._open = alert = alert.model_copy(update=self._renew(alert, causes))
        if not ended:
            return None
        self._open = None
        self._quiet_until_s = now_s + self._cool_down_s
        return alert.model_copy(update={"state": "closed", "closed_at": datetime.fromtimestamp(now_s, UTC)})

    def _renew(self, alert: Alert, causes: CauseKeeper) -> dict[str, Any]:
        """Return the figures up to now; taken only while the surge is on, so that its end does not dilute them."""
        chosen = causes.select(since_s=alert.since.timestamp())
        return _describe(self._seen, alert.track, alert.since) | {"causes": chosen or alert.causes}


def _describe(seen: Excursion, track: str, since: datetime) -> dict[str, Any]:
    """Return shares, size and reason of what was seen since the surge began."""
    posts = max(seen.posts, 1)
    share, usual = min(1.0, seen.negatives / posts), min(1.0, seen.usual_negatives / posts)
    shares = f"negative share {share:.0%} of {seen.posts} posts".replace("%", " %")
    start, usually = f"since {since:%H:%M} UTC", f"usual {usual:.0%}".replace("%", " %")
    if track == "share":
        reason = f"{shares} {start}, {usually}"
    else:
        reason = (
            f"{seen.negatives:.0f} negative posts {start}, usual {seen.usual_volume:.1f}; {shares}, {usually}"
        )
    return {"negative_share": share, "baseline_share": usual, "size": seen.posts, "reason": reason}
