"""The monitor of one topic: its history, its baseline, its tests, its alert."""

from collections.abc import Mapping
from typing import Any

from chains.monitoring.alerts import NEW_NORMAL, AlertKeeper
from chains.monitoring.baseline import fit_baseline
from chains.monitoring.detectors import SurgeDetector
from chains.monitoring.likelihood import STEP_S, STEPS_PER_HOUR
from chains.monitoring.options import HISTORY, MonitoringOptions
from chains.monitoring.representative_posts import CauseKeeper
from chains.monitoring.schema import Alert, Reading
from chains.monitoring.windows import HourlyHistory

REFIT_H = 24
NEW_NORMAL_S = NEW_NORMAL.total_seconds()
LONGEST_GAP_STEPS = int(HISTORY.total_seconds() // STEP_S)


class TopicMonitor:
    """Watches one topic; knows nothing of any other.

    Args:
        topic: its name.
        options: how to watch.
        start_s: Unix time of its first post.
    """

    def __init__(self, topic: str, options: MonitoringOptions, *, start_s: float) -> None:
        self._topic = topic
        self._options = options
        self._causes = CauseKeeper(options.negative_label)
        self._keeper = AlertKeeper(topic, options)
        self._begin(int(start_s // STEP_S))

    def _begin(self, step: int) -> None:
        """Start learning at a step, with nothing known."""
        self._step = step  # the step that is being filled
        self._scores: list[float] = []
        self._copies = 0  # of the step
        self._history = HourlyHistory(first_hour=step // STEPS_PER_HOUR)
        self._detector: SurgeDetector | None = None
        warm_up_h = -int(-self._options.warm_up.total_seconds() // 3600)
        self._refit_hour = step // STEPS_PER_HOUR + warm_up_h

    def add(self, reading: Reading, *, is_copy: bool = False) -> list[Alert]:
        """Count a reading that is not older than the last one; return what the time until then brought.

        Args:
            reading: of a post of this topic.
            is_copy: whether the text came before; then the post is only counted as a copy.
        """
        changed = self.advance(reading.post.time.timestamp())
        if is_copy:
            self._copies += 1
            return changed
        self._scores.append(reading.sentiment.probabilities[self._options.negative_label])
        self._causes.add(reading)
        return changed

    def dump(self) -> dict[str, Any]:
        """Return everything but name and options, as plain values."""
        return {
            "step": self._step,
            "scores": self._scores,
            "copies": self._copies,
            "history": self._history.dump(),
            "detector": None if self._detector is None else self._detector.dump(),
            "refit_hour": self._refit_hour,
            "causes": self._causes.dump(),
            "keeper": self._keeper.dump(),
        }

    @classmethod
    def restore(cls, topic: str, options: MonitoringOptions, state: Mapping[str, Any]) -> "TopicMonitor":
        """Return the monitor that `dump` described."""
        monitor = cls(topic, options, start_s=state["step"] * float(STEP_S))
        monitor._scores, monitor._copies = list(state["scores"]), state["copies"]
        monitor._history = HourlyHistory.restore(state["history"])
        if state["detector"] is not None:
            monitor._detector = SurgeDetector.restore(
                state["detector"], alarms_per_month=options.false_alarms_per_topic_month, zone=options.zone
            )
        monitor._refit_hour = state["refit_hour"]
        monitor._causes.load(state["causes"])
        monitor._keeper.load(state["keeper"])
        return monitor

    def find_baseline_share(self) -> float | None:
        """Return the share of negatives that is usual now; None during warm-up."""
        return None if self._detector is None else self._detector.find_baseline_share(self._step)

    def advance(self, now_s: float) -> list[Alert]:
        """Weigh all steps that are over at a Unix time; return the alerts they opened or closed."""
        target = int(now_s // STEP_S)
        gap = target - self._step
        changed: list[Alert] = []
        # after so long a silence only an alert still has to be closed; then the topic is new again
        end = target if gap <= LONGEST_GAP_STEPS else self._step + int(NEW_NORMAL_S // STEP_S) + 1
        while self._step < end:
            alert = self._finish_step((self._step + 1) * STEP_S)
            if alert is not None:
                changed.append(alert)
            self._step += 1
        if self._step < target:
            self._begin(target)
        return changed

    def finish(self, now_s: float) -> list[Alert]:
        """Weigh also the step that is being filled, because the stream has ended."""
        changed = self.advance(now_s)
        if self._scores or self._copies:
            alert = self._finish_step(now_s)
            changed += [] if alert is None else [alert]
            self._step += 1
        return changed

    def _finish_step(self, now_s: float) -> Alert | None:
        hour = self._step // STEPS_PER_HOUR
        if hour >= self._refit_hour:
            self._refit(hour)
        if self._scores:
            self._history.add(hour, self._scores)
        alert = None if self._detector is None else self._test(self._detector, now_s)
        if not self._keeper.is_open and (self._detector is None or self._detector.is_idle):
            self._causes.clear()
        self._scores = []
        self._copies = 0
        return alert

    def _test(self, detector: SurgeDetector, now_s: float) -> Alert | None:
        """Return the alert that the tests opened or closed with the step that ended."""
        detector.add(self._step, self._scores, copies=self._copies)
        alert = self._keeper.review(detector, self._causes, now_s=now_s)
        if alert is not None and alert.state == "open":
            detector.open_alert()
        if alert is not None and alert.state == "closed":
            detector.close_alert()
            self._learn_from_closed(alert, now_s)
        detector.cap()
        return alert

    def _refit(self, hour: int) -> None:
        """Learn the baseline anew from the hours that are over and saw no surge."""
        self._refit_hour = hour + REFIT_H
        self._history.advance(hour)
        since_s = self._keeper.since_s
        if since_s is not None:
            self._history.mask(int(since_s // 3600), hour)
        counts = self._history.collect(before_hour=hour)
        if counts.posts.sum() < self._options.min_posts:
            return
        zone = self._options.zone
        baseline = fit_baseline(counts, zone=zone)
        if self._detector is None:
            self._detector = SurgeDetector(
                baseline, alarms_per_month=self._options.false_alarms_per_topic_month, zone=zone
            )
        else:
            self._detector.refit(baseline)

    def _learn_from_closed(self, alert: Alert, now_s: float) -> None:
        since_s = alert.since.timestamp()
        if now_s - since_s < NEW_NORMAL_S:
            self._history.mask(int(since_s // 3600), int(now_s // 3600))
            return
        self._history.forget_before(int(since_s // 3600))
        self._detector = None
        warm_up_h = -int(-self._options.warm_up.total_seconds() // 3600)
        self._refit_hour = int(since_s // 3600) + warm_up_h
