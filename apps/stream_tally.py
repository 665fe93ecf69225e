"""Numbers of a watched stream: what was counted and what was set aside, told while it runs and at its end."""

from collections import Counter

from chains.monitoring import MonitoringReport

_MIN_LATE = 20  # posts, before "most" means something


class StreamTally:
    """Adds up the reports of a stream and says when posts are set aside: the first one, the tenth, the hundredth, ...

    Example:
        >>> tally = StreamTally()
        >>> tally.add(MonitoringReport(late=1, duplicates=1))
        ['late so far: 1 (a post more than the allowed lateness behind the stream is not counted)']
        >>> tally.summary()
        'read 2 posts: 0 counted, 1 late, 0 dated in the future, 1 repeated, 0 not readable'
    """

    def __init__(self) -> None:
        self._total: Counter[str] = Counter()
        self._has_warned = False
        self.has_begun = False

    def add(self, report: MonitoringReport) -> list[str]:
        """Take a report in, and return what should be said now."""
        self.has_begun = True
        before, counted = self._total.copy(), len(report.readings)
        self._total.update(counted=counted, late=report.late, future=report.future)
        self._total.update(repeated=report.duplicates, failed=report.failed)
        late, future = self._total["late"], self._total["future"]
        said = []
        if _gains_digit(before["late"], late):
            said.append(f"late so far: {late} (a post more than the allowed lateness behind the stream is not counted)")
        if _gains_digit(before["future"], future):
            said.append(f"dated in the future so far: {future} (such a post is not counted)")
        if _gains_digit(before["failed"], self._total["failed"]):
            detail = next(item.detail for item in report.set_aside if item.reason == "failed")
            said.append(f"not readable so far: {self._total['failed']} (a classifier said: {detail})")
        if not self._has_warned and late >= _MIN_LATE and late > self._total["counted"]:
            self._has_warned = True
            said.append(
                "most posts are late: does the clock of a source run ahead, or is the stream not in order of time? "
                "--sort puts a file in order first"
            )
        return said

    def summary(self) -> str:
        """Return all numbers in one line."""
        total = self._total
        return (
            f"read {total.total()} posts: {total['counted']} counted, {total['late']} late, "
            f"{total['future']} dated in the future, {total['repeated']} repeated, {total['failed']} not readable"
        )


def _gains_digit(before: int, after: int) -> bool:
    return after > before and len(str(after)) > len(str(before or ""))
