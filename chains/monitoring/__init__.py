"""Opinion monitoring: tell people soon that opinion on a topic turned bad, and rarely without reason.

Here belongs what posts, topics, sentiment, surges and alerts mean: the order of events, the usual level of a
topic, the tests against it, and the scores of a backtest. Classifiers are passed in; reading a source,
sending an alert and keeping the stream's position are for the application.
"""

from chains.monitoring.chain import (
    TEXTS_PER_BATCH,
    MonitoringChain,
    build_monitoring_chain,
    cut_batches,
    sort_posts,
)
from chains.monitoring.entities import ENTITY_PREFIX, Entity, EntityLinker
from chains.monitoring.evaluation import AlertScores, KnownSurge, score_alerts
from chains.monitoring.labels import find_sentiment
from chains.monitoring.monitor import UNKNOWN_TOPIC, Admitted, OpinionMonitor, Progress
from chains.monitoring.new_topics import NewTopic, find_new_topics
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
from chains.monitoring.session import MonitoringSession
from chains.monitoring.targets import mark_target

__all__ = [
    "ENTITY_PREFIX",
    "TEXTS_PER_BATCH",
    "UNKNOWN_TOPIC",
    "Admitted",
    "Alert",
    "AlertScores",
    "Cause",
    "Entity",
    "EntityLinker",
    "KnownSurge",
    "MonitoringChain",
    "MonitoringOptions",
    "MonitoringReport",
    "MonitoringRequest",
    "MonitoringSession",
    "NewTopic",
    "OpinionMonitor",
    "Post",
    "Progress",
    "Reading",
    "SetAside",
    "Trend",
    "TrendPoint",
    "build_monitoring_chain",
    "cut_batches",
    "find_new_topics",
    "find_sentiment",
    "mark_target",
    "score_alerts",
    "sort_posts",
]
