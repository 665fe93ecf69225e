"""Two sequential tests per topic over one baseline: the share of negatives, and their number."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from typing import Any

from chains.monitoring.baseline import SeasonalBaseline, find_cell
from chains.monitoring.change_points import StepRecord
from chains.monitoring.likelihood import STEPS_PER_HOUR, LikelihoodRatios
from chains.monitoring.thresholds import find_thresholds

NUM_RECORDS = 7 * 24 * STEPS_PER_HOUR


@dataclass(slots=True)
class CumulativeSum:
    """Page's statistic: it adds up gains, never falls below zero, and knows when it last left it.

    Example:
        >>> test = CumulativeSum(threshold=2.0)
        >>> for step, gain in enumerate([-1.0, 1.5, 1.0]):
        ...     test.add(step, gain)
        >>> test.value, test.is_above, test.first_step
        (2.5, True, 1)

    References:
        Page, "Continuous inspection schemes", Biometrika 1954.
    """

    threshold: float
    value: float = 0.0
    first_step: int = 0  # the step at which the value last left zero

    @property
    def is_above(self) -> bool:
        """True where the evidence suffices for an alarm."""
        return self.value >= self.threshold

    def add(self, step: int, gain: float) -> None:
        """Add the gain of one step; steps come in order."""
        if self.value == 0.0:
            self.first_step = step
        self.value = max(0.0, self.value + gain)

    def cap(self) -> None:
        """Hold the value at the threshold, so that a long surge leaves no more evidence behind than a short one."""
        self.value = min(self.value, self.threshold)

    def reset(self) -> None:
        """Start again from no evidence."""
        self.value = 0.0


class SurgeDetector:
    """The share test and the volume test of one topic.

    Args:
        baseline: what is usual; `refit` replaces it while the statistics go on.
        alarms_per_month: accepted false alarms of both tests together.
        thresholds: of the share and the volume test, where they are known already.
        zone: in which the baseline was fitted.
    """

    def __init__(
        self,
        baseline: SeasonalBaseline,
        *,
        alarms_per_month: float,
        thresholds: tuple[float, float] | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        self._zone = zone
        self._alarms_per_month = alarms_per_month
        self.share = CumulativeSum(threshold=0.0)
        self.volume = CumulativeSum(threshold=0.0)
        self._alert_is_open = False  # while one is, its figures are needed also after the tests fell to zero
        self._records: deque[StepRecord] = deque(maxlen=NUM_RECORDS)
        self.refit(baseline, thresholds=thresholds)

    @property
    def is_idle(self) -> bool:
        """True where neither test holds any evidence."""
        return self.share.value == 0.0 and self.volume.value == 0.0

    @property
    def latest(self) -> StepRecord | None:
        """The step that was weighed last; None where neither test holds any evidence and no alert is open."""
        return self._records[-1] if self._records else None

    def refit(self, baseline: SeasonalBaseline, *, thresholds: tuple[float, float] | None = None) -> None:
        """Go on with a new baseline and the thresholds it needs."""
        self._baseline = baseline
        self._table = LikelihoodRatios(baseline)
        thresholds = thresholds or find_thresholds(baseline, alarms_per_month=self._alarms_per_month)
        self.share.threshold, self.volume.threshold = thresholds

    def find_baseline_share(self, step: int) -> float:
        """Return the share of negatives that is usual at a step."""
        return self._table.share[find_cell(step // STEPS_PER_HOUR, self._zone)]

    def add(self, step: int, scores: Sequence[float], *, copies: int = 0) -> None:
        """Weigh one step; steps come in order and without gaps.

        Args:
            step: ten-minute steps since the epoch.
            scores: negative probability of each post of the step; often none.
            copies: further posts, which are noted but not weighed.
        """
        cell = find_cell(step // STEPS_PER_HOUR, self._zone)
        negatives = sum(scores)
        self.share.add(step, self._table.weigh_share(cell, scores) if scores else 0.0)
        self.volume.add(step, self._table.weigh_volume(cell, negatives))
        if self.is_idle and not self._alert_is_open:
            self._records.clear()
            return
        baseline_negatives = self._table.share[cell] * len(scores)
        baseline_volume = self._table.rate[cell] / STEPS_PER_HOUR
        self._records.append(StepRecord(step, len(scores), negatives, baseline_negatives, baseline_volume, copies))

    def open_alert(self) -> None:
        """Keep the steps from now on, because an alert is open."""
        self._alert_is_open = True

    def close_alert(self) -> None:
        """Begin both tests anew, because the alert is over."""
        self._alert_is_open = False
        self.share.reset()
        self.volume.reset()

    def cap(self) -> None:
        """Hold both tests at their thresholds; see `CumulativeSum.cap`."""
        self.share.cap()
        self.volume.cap()

    def recall(self, first_step: int) -> list[StepRecord]:
        """Return the steps since `first_step` or since a test left zero, at most of the last week."""
        return [record for record in self._records if record.step >= first_step]

    def dump(self) -> dict[str, Any]:
        """Return everything, as plain values."""
        return {
            "baseline": self._baseline.dump(),
            "alarms_per_month": self._alarms_per_month,
            "share": asdict(self.share),
            "volume": asdict(self.volume),
            "alert_is_open": self._alert_is_open,
            "records": [list(record) for record in self._records],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], *, alarms_per_month: float, zone: tzinfo = UTC) -> "SurgeDetector":
        """Return the detector that `dump` described; with another budget it gets other thresholds."""
        known = (state["share"]["threshold"], state["volume"]["threshold"])
        detector = cls(
            SeasonalBaseline.restore(state["baseline"]),
            alarms_per_month=alarms_per_month,
            thresholds=known if alarms_per_month == state["alarms_per_month"] else None,
            zone=zone,
        )
        for test, values in ((detector.share, state["share"]), (detector.volume, state["volume"])):
            test.value, test.first_step = values["value"], values["first_step"]
        detector._alert_is_open = state["alert_is_open"]
        detector._records.extend(StepRecord(*values) for values in state["records"])
        return detector
