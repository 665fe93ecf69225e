"""Change points: the start and end of a surge, by maximum likelihood after a test has raised it."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

CHANCE = 0.5  # log-odds that a level which did not change may lose by chance
_RECENT_STEPS = 6  # an hour of them
Track = Literal["share", "volume"]


class StepRecord(NamedTuple):
    """One step of one topic, or the sum of several."""

    step: int
    posts: int
    negatives: float  # sum of negative probabilities
    baseline_negatives: float  # what so many posts usually bring
    baseline_volume: float  # what so much time usually brings
    copies: int = 0  # further posts, which repeat the text of another one


def sum_records(records: Iterable[StepRecord]) -> StepRecord:
    """Return the sum of some records, named by the first step; of none, an empty record of step 0."""
    total = list(accumulate(records, _add))
    return total[-1] if total else StepRecord(0, 0, 0.0, 0.0, 0.0)


def find_start(records: Sequence[StepRecord], track: Track) -> int:
    """Return the index from which on the records differ most from the baseline.

    A sequential test often leaves zero by chance before the surge that it later raises; the start that
    makes the records most likely, at whatever level they then had, is closer to the truth.

    Args:
        records: oldest first, up to now; at least one.
        track: whether the share or the number of negatives counts.

    Example:
        >>> calm, surge = StepRecord(0, 10, 1.0, 1.0, 1.0), StepRecord(1, 10, 6.0, 1.0, 1.0)
        >>> find_start([calm, calm, surge, surge], "share")
        2
    """
    scores = [_score(total, track) for total in accumulate(records[::-1], _add)]
    return len(records) - 1 - max(range(len(scores)), key=scores.__getitem__)


class SurgeExtent:
    """How far a surge reaches, step by step, without looking at its earlier steps again.

    It ends with the last step up to which the records differ most from the baseline; what follows is calm.

    Args:
        track: whether the share or the number of negatives counts.
        records: from the start of the surge up to now; at least one.

    Attributes:
        surge: the sum of the surge.
        calm: the sum of what followed it.
        last_step: of the surge.
        recent: the last steps, at most an hour.

    Example:
        >>> calm, surge = StepRecord(0, 10, 1.0, 1.0, 1.0), StepRecord(1, 10, 6.0, 1.0, 1.0)
        >>> extent = SurgeExtent("share", [surge, surge, calm])
        >>> extent.surge.posts, extent.calm.posts
        (20, 10)
    """

    def __init__(self, track: Track, records: Iterable[StepRecord]) -> None:
        self._track = track
        self._total: StepRecord | None = None
        self._best = -math.inf
        self.surge = self.calm = StepRecord(0, 0, 0.0, 0.0, 0.0)
        self.last_step = 0
        self.recent: deque[StepRecord] = deque(maxlen=_RECENT_STEPS)
        for record in records:
            self.add(record)

    def add(self, record: StepRecord) -> None:
        """Take in the next step."""
        self._total = record if self._total is None else _add(self._total, record)
        self.recent.append(record)
        score = _score(self._total, self._track)
        if score > self._best:
            self._best, self.surge, self.last_step = score, self._total, record.step
            self.calm = StepRecord(record.step + 1, 0, 0.0, 0.0, 0.0)
        else:
            self.calm = _add(self.calm, record)


def calm_log_odds(calm: StepRecord, surge: StepRecord) -> float:
    """Return the log-odds that what followed a surge is normal again, against the surge going on at its level.

    Args:
        calm: the sum of what followed.
        surge: the sum of the surge itself.

    Returns:
        The log-odds from the number of negatives and from their share, added; if one of them speaks for the surge,
        that one alone, since fewer posts that are as negative as before are no end.

    Example:
        >>> surge, calm = StepRecord(0, 10, 6.0, 1.0, 1.0), StepRecord(9, 10, 1.0, 1.0, 1.0)
        >>> calm_log_odds(calm, surge) > 3 > calm_log_odds(surge, surge)
        True
    """
    ratio = max(surge.negatives / max(surge.baseline_volume, 1e-9), 1.0)
    volume = calm.baseline_volume * (ratio - 1) - calm.negatives * math.log(ratio)
    share = _calm_log_odds_share(calm, surge)
    against = min(volume, share)
    return against if against < -CHANCE else volume + share


def _calm_log_odds_share(calm: StepRecord, surge: StepRecord) -> float:
    if not calm.posts or not surge.posts:
        return 0.0
    baseline = min(max(calm.baseline_negatives / calm.posts, 0.001), 0.999)
    raised = min(max(surge.negatives / surge.posts, 0.001), 0.999)
    others = calm.posts - calm.negatives
    return calm.negatives * math.log(baseline / raised) + others * math.log((1 - baseline) / (1 - raised))


def _add(one: StepRecord, other: StepRecord) -> StepRecord:
    return StepRecord(
        one.step,
        one.posts + other.posts,
        one.negatives + other.negatives,
        one.baseline_negatives + other.baseline_negatives,
        one.baseline_volume + other.baseline_volume,
        one.copies + other.copies,
    )


def _score(total: StepRecord, track: Track) -> float:
    """Return the log-likelihood ratio of the level seen against the usual one; 0 where it is not raised."""
    seen = total.negatives
    baseline = total.baseline_negatives if track == "share" else total.baseline_volume
    if seen <= baseline or baseline <= 0:
        return 0.0
    gain = seen * math.log(seen / baseline)
    if track == "volume":
        return gain - (seen - baseline)
    others = total.posts - seen
    return gain + (others * math.log(others / (total.posts - baseline)) if others > 0 else 0.0)
