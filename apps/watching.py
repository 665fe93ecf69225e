"""What `tunechain watch` does: reads a stream and prints its alerts while it comes."""

import sys
from collections.abc import Iterator
from pathlib import Path

from apps.console import print_alert, print_json, print_rejected, print_warning
from apps.post_batches import pace, read_file_batches, read_live_batches
from apps.settings import Settings
from apps.sources.addresses import is_address
from apps.stream_tally import StreamTally
from apps.wiring import build_monitoring
from chains.monitoring import MonitoringReport, Post


class ReportPrinter:
    """Prints alerts as they come, and what was set aside; for one thread at a time."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._tally = StreamTally()

    @property
    def has_begun(self) -> bool:
        """Whether anything was read."""
        return self._tally.has_begun

    def show(self, report: MonitoringReport) -> None:
        """Print what a part of the stream brought."""
        for alert in report.alerts:
            if self._as_json:
                print_json(alert)
            else:
                print_alert(alert)
        for line in self._tally.add(report):
            print_warning(line)

    def summary(self) -> str:
        """Return what was read, in one line."""
        return self._tally.summary()


def watch_lines(settings: Settings, source: str, printer: ReportPrinter, *, sort: bool, speed: float | None) -> None:
    """Watch a file or standard input to its end; nothing is kept.

    Args:
        settings: of the workspace.
        source: a file, or `-`.
        printer: told what the stream brings.
        sort: whether to put a file in order of time first.
        speed: of a replay; without one it runs as fast as it can.
    """
    session = build_monitoring(settings).open_session()
    batches = _read_lines(source, sort=sort)
    for posts in batches if speed is None else pace(batches, speed):
        printer.show(session.observe(posts) if posts else session.tick())
    printer.show(session.finish())


def watch_source(settings: Settings, source: str, printer: ReportPrinter) -> None:
    """Watch a source that has no end, until Ctrl-C; posts, alerts and position are kept in the workspace."""
    from apps.server.live_monitoring import open_monitor

    address = source if is_address(source) else str(Path(source).resolve())
    monitor = open_monitor(settings, build_monitoring(settings), sources=[address], on_report=printer.show)
    monitor.start()
    try:
        monitor.join()
    finally:
        monitor.stop()


def _read_lines(source: str, *, sort: bool) -> Iterator[list[Post]]:
    """Yield posts in the order of a file or of standard input, in batches that are good to classify."""
    if source == "-":
        yield from read_live_batches(sys.stdin, lambda rows: print_rejected(rows, "standard input"))
    else:
        yield from read_file_batches(Path(source), lambda rows: print_rejected(rows, source), in_order_of_time=sort)
