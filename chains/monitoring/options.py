"""The settings of opinion monitoring."""

from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chains.languages import Language
from chains.monitoring.wording import WORDS
from llms.errors import OptionValueError

HISTORY = timedelta(weeks=8)  # what a baseline is learnt from, and what a monitor remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringOptions:
    """How a stream is read and how many false alarms are accepted.

    Example:
        >>> MonitoringOptions(false_alarms_per_topic_month=0.5).cool_down.total_seconds() / 3600
        6.0
    """

    window: timedelta = timedelta(hours=1)  # of the trend only; alerts never wait for a window to end
    warm_up: timedelta = timedelta(days=7)  # a whole week, so that the weekend is part of the baseline
    allowed_lateness: timedelta = timedelta(minutes=10)  # also how long a post waits for earlier ones
    idle_after: timedelta = timedelta(minutes=5)  # of the stream: a source that says nothing is not waited for
    max_future: timedelta = timedelta(minutes=10)  # clocks of sources differ by minutes, not by hours
    max_jump: timedelta = timedelta(days=1)  # ahead of all others by more, one post alone is a wrong clock
    false_alarms_per_topic_month: float = 0.1  # shared equally by the two tests of a topic
    min_negative_posts: float = 5.0  # in a surge before it is an alert; statistics alone would raise on one rare post
    cool_down: timedelta = timedelta(hours=6)  # from the end of an alert to the next of the same topic
    min_posts: int = 40  # fewer do not make a baseline, however long they took to come
    time_zone: str = "UTC"  # whose day and weekend people follow; a name such as "Asia/Shanghai"
    language: Language = "en"  # of the reasons of alerts
    negative_label: str = "negative"
    positive_label: str = "positive"

    def __post_init__(self) -> None:
        """Refuse values that no stream could be read with."""
        self._check_range("window", timedelta(minutes=1), timedelta(days=7))
        self._check_range("warm_up", timedelta(days=1), HISTORY)
        self._check_range("allowed_lateness", timedelta(0), timedelta(days=7))
        self._check_range("idle_after", timedelta(0), timedelta(days=7))
        self._check_range("max_future", timedelta(0), timedelta.max)
        self._check_range("max_jump", timedelta(minutes=1), timedelta.max)
        self._check_range("cool_down", timedelta(0), timedelta(days=30))
        if not 0.001 <= self.false_alarms_per_topic_month <= 30.0:
            msg = f"false_alarms_per_topic_month must lie between 0.001 and 30, got {self.false_alarms_per_topic_month}"
            raise OptionValueError(msg)
        if self.min_posts < 1 or self.min_negative_posts < 0:
            msg = (
                "min_posts must be at least 1 and min_negative_posts at least 0, "
                f"got {self.min_posts} and {self.min_negative_posts}"
            )
            raise OptionValueError(msg)
        try:
            _ = self.zone
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            msg = (
                f'time_zone must be a name such as "Asia/Shanghai" or "Europe/Berlin", got {self.time_zone!r}; where '
                "the system knows no zones at all, install the package tzdata"
            )
            raise OptionValueError(msg) from error
        if self.language not in WORDS:
            msg = f"language must be one of {', '.join(WORDS)}, got {self.language!r}"
            raise OptionValueError(msg)
        if not self.negative_label or self.negative_label == self.positive_label:
            msg = "negative_label must be a name, and another than positive_label"
            raise OptionValueError(msg)

    @property
    def zone(self) -> tzinfo:
        """The clocks of `time_zone`."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)  # one object for each name

    def _check_range(self, name: str, lowest: timedelta, highest: timedelta) -> None:
        value: timedelta = getattr(self, name)
        if not lowest <= value <= highest:
            msg = f"{name} must lie between {lowest} and {highest}, got {value}"
            raise OptionValueError(msg)
