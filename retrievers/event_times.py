"""Times of events: their bounds, and where a record of them ends although one clock was wrong."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

# before it, a time is Unix time 0, a year in two digits, or seconds that were taken for milliseconds
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)  # clocks and zones differ by hours; what lies further ahead did not happen yet
CLOCK_TOLERANCE = timedelta(minutes=10)  # an event so little ahead happened now, by a clock that is fast
_MIN_EVENTS = 100  # fewer do not tell what is usual
_MAX_TAIL_SHARE = 0.001
_MIN_GAP = timedelta(days=30)
_TIMES_OTHER_GAPS = 3


def utc_now() -> datetime:
    """Return the present time; a test or a replay passes its own clock instead."""
    return datetime.now(UTC)


def _refuse_early(time: datetime) -> datetime:
    if time < EARLIEST:
        msg = f"{time.isoformat()} lies before {EARLIEST.year}, so it is no time of an event; correct it"
        raise ValueError(msg)
    return time


def _refuse_ahead(time: datetime) -> datetime:
    if time > utc_now() + MAX_AHEAD:
        msg = f"{time.isoformat()} lies ahead of the present; correct it"
        raise ValueError(msg)
    return time


EventTime = Annotated[AwareDatetime, AfterValidator(_refuse_early)]
"""A time with a zone, from 1990 on; whoever reads a stream decides what is too far ahead."""

PastTime = Annotated[EventTime, AfterValidator(_refuse_ahead)]
"""A time with a zone, from 1990 to tomorrow."""


def end_of_record(times: Sequence[datetime]) -> datetime:
    """Return the last time of a record that the others bear out.

    In a record of at least 100, up to a thousandth of it (at least one) is passed over at the end where it comes more
    than a month after the rest and more than three times the longest pause in the rest: a wrong clock would
    otherwise make everything else look old.

    Args:
        times: in order, at least one.

    Example:
        >>> days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(200)]
        >>> end_of_record([*days, datetime(2026, 9, 1, tzinfo=UTC)]) == days[-1]
        True
    """
    if len(times) < _MIN_EVENTS:
        return times[-1]
    first_of_tail = len(times) - max(1, int(len(times) * _MAX_TAIL_SHARE))
    longest = max(later - earlier for earlier, later in itertools.pairwise(times[:first_of_tail]))
    for index in range(first_of_tail, len(times)):
        gap = times[index] - times[index - 1]
        if gap > max(_MIN_GAP, _TIMES_OTHER_GAPS * longest):
            return times[index - 1]
        longest = max(longest, gap)
    return times[-1]
