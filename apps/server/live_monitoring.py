"""The live monitor of a workspace, as its settings describe it."""

from collections.abc import Callable, Iterable

from apps.alert_sinks import open_sinks, outbox_rules
from apps.recorded_stream import RecordedStream
from apps.server.monitor_service import LiveMonitor
from apps.settings import Settings
from apps.sources.addresses import open_sources
from chains.monitoring import MonitoringChain, MonitoringReport


def open_monitor(
    settings: Settings,
    chain: MonitoringChain,
    *,
    sources: Iterable[str] | None = None,
    on_report: Callable[[MonitoringReport], None] = lambda _: None,
) -> LiveMonitor:
    """Return the live monitor of a workspace, which is not started yet.

    Args:
        settings: of the workspace.
        chain: what watches.
        sources: addresses to read instead of those of the settings.
        on_report: told what each part of the stream brought.

    Raises:
        SettingsError: if an address names no source.
        MissingExtraError: if one needs a package that is not installed.
    """
    stream = RecordedStream.of(settings)
    addresses = [address.get_secret_value() for address in settings.monitoring.sources] if sources is None else sources
    return LiveMonitor(
        chain,
        path=settings.monitoring_file,
        read_history=stream.read,
        stamp_history=stream.stamp,
        sinks=open_sinks(settings.alerts, workspace=settings.workspace),
        rules=outbox_rules(settings),
        sources=open_sources(addresses, workspace=settings.workspace),
        on_report=on_report,
    )
