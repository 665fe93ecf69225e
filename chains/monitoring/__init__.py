"""Opinion monitoring: tell people soon that opinion on a topic turned bad, and rarely without reason.

Here belongs what posts, topics, sentiment, surges and alerts mean: the order of events, the usual level of a
topic, the tests against it, and the scores of a backtest. Classifiers are passed in; reading a source,
sending an alert and keeping the stream's position are for the application.
"""

from chains.monitoring.chain import build_monitoring_chain
from chains.monitoring.evaluation import AlertScores, KnownSurge, score_alerts
from chains.monitoring.labels import find_sentiment
from chains.monitoring.monitor import Admitted, OpinionMonitor, Progress
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import (
    Alert,
    Cause,
    MonitoringReport,
    MonitoringRequest,
    Post,
    Reading,
    SetAside,
    Trend,
    TrendPoint,
)

__all__ = [
    "Admitted",
    "Alert",
    "AlertScores",
    "Cause",
    "KnownSurge",
    "MonitoringOptions",
    "MonitoringReport",
    "MonitoringRequest",
    "OpinionMonitor",
    "Post",
    "Progress",
    "Reading",
    "SetAside",
    "Trend",
    "TrendPoint",
    "build_monitoring_chain",
    "find_sentiment",
    "score_alerts",
]
