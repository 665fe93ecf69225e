"""Times as logs write them."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_CHINESE = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日?\s*")
_NUMBER = re.compile(r"\d{10}(?:\d{3})?(?:[.]\d+)?")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.]\d+)?)?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)(.*)", re.DOTALL)
_FORMATS = (
    "%b %d, %Y %I:%M %p",
    "%B %d, %Y %H:%M",
    "%d %b %Y %H:%M",
    "%a %b %d %H:%M:%S %z %Y",
    "%b %d, %Y",
    "%d %b %Y",
)
_CLOCKS = (", %H:%M:%S", " %H:%M:%S", ", %H:%M", " %H:%M", " %I:%M %p", " %I:%M:%S %p", ", %I:%M %p", "")
_LAST_SECONDS = 4_102_444_800  # of 2099
_NUM_MONTHS = 12


def parse_time(text: str, time_format: str = "") -> datetime | None:
    """Return a time with its zone, UTC where none is said, or None for what is no time.

    Args:
        text: in ISO 8601, as seconds or milliseconds since 1970, as in mails, or as people and programs write it.
        time_format: as of `strptime`; for `31/12/2024` the order of day and month, with or without a time behind it.

    Example:
        >>> parse_time("2024年3月5日 9:30").isoformat(), parse_time("1547087894783").year, parse_time("soon")
        ('2024-03-05T09:30:00+00:00', 2019, None)
        >>> parse_time("05/03/2024 9:30 PM", "%d/%m/%Y").isoformat()
        '2024-03-05T21:30:00+00:00'
    """
    plain = _CHINESE.sub(r"\1-\2-\3 ", text.strip().replace("：", ":"))
    if not plain:
        return None
    if _NUMBER.fullmatch(plain):
        seconds = float(plain)
        return datetime.fromtimestamp(seconds / 1000 if seconds > _LAST_SECONDS else seconds, UTC)
    found = _formatted(plain, time_format) or _iso(plain) or _written(plain)
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def order_of_days(texts: Iterable[str]) -> tuple[str, bool]:
    """Return the format of dates that end with the year, and whether it is sure; an empty one where there are none.

    Example:
        >>> order_of_days(["05/03/2024 10:00", "17/03/2024 10:00"]), order_of_days(["05/03/2024"])
        (('%d/%m/%Y', True), ('%m/%d/%Y', False))
    """
    dates = [found for text in texts if (found := _YEAR_LAST.match(text.strip()))]
    if not dates:
        return "", True
    sign = dates[0][2]
    if sign == ".":
        return "%d.%m.%Y", True
    day_first = any(int(date[1]) > _NUM_MONTHS for date in dates)
    month_first = any(int(date[3]) > _NUM_MONTHS for date in dates)
    return f"%d{sign}%m{sign}%Y" if day_first else f"%m{sign}%d{sign}%Y", day_first or month_first


def _formatted(text: str, time_format: str) -> datetime | None:
    if not time_format:
        return None
    for clock in _CLOCKS:
        with suppress(ValueError):
            return datetime.strptime(text, time_format + clock)  # the zone is set by the caller
    return None


def _iso(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text.removesuffix(" UTC"))
    if (found := _YEAR_FIRST.match(text)) is None:
        return None
    with suppress(ValueError):
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    return None


def _written(text: str) -> datetime | None:
    for form in _FORMATS:
        with suppress(ValueError):
            return datetime.strptime(text, form)  # the zone is set by the caller
    with suppress(ValueError, TypeError, IndexError):
        return parsedate_to_datetime(text)
    return None
