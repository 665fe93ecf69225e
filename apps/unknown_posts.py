"""Posts of no known topic, and the topics that they may be about."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from apps.monitoring_database import MonitoringDatabase
from chains.monitoring import UNKNOWN_TOPIC, find_new_topics
from llms.arrays import FloatArray

_MAX_POSTS = 5_000  # the latest; to compare many more with each other takes minutes
_DAY_S = 86_400.0


class FoundTopic(BaseModel):
    """A topic that many posts of no known topic are about."""

    model_config = ConfigDict(frozen=True)

    words: tuple[str, ...] = Field(description="Words that tell its posts from the others.")
    posts: int
    first: datetime
    last: datetime
    examples: tuple[str, ...] = Field(description="The most typical posts.")


class FoundTopics(BaseModel):
    """What the posts of no known topic are about.

    Attributes:
        topics: the largest first.
        posts: how many posts were looked at, copies left out.
        alone: how many of them belong to none.
    """

    model_config = ConfigDict(frozen=True)

    topics: tuple[FoundTopic, ...]
    posts: int
    alone: int


def find_topics(
    database: MonitoringDatabase, embed: Callable[[Sequence[str]], FloatArray], *, days: float, min_posts: int
) -> FoundTopics:
    """Return the topics of the posts of the last days whose topic is not known.

    Args:
        database: of a monitor.
        embed: texts -> (texts, dimensions) vectors of their meanings.
        days: before the latest post.
        min_posts: of a topic.
    """
    rows = database.read(
        "SELECT json_extract(post, '$.text'), time FROM posts WHERE topic_name = ?1 AND NOT is_copy AND time > "
        "(SELECT max(time) FROM posts WHERE topic_name IS NOT NULL) - ?2 ORDER BY time DESC LIMIT ?3",
        UNKNOWN_TOPIC,
        days * _DAY_S,
        _MAX_POSTS,
    )
    texts = [text for text, _ in rows]
    found = find_new_topics(texts, embed(texts), min_posts=min_posts) if texts else []
    topics = tuple(
        FoundTopic(
            words=topic.words,
            posts=len(topic.posts),
            first=_to_time(min(rows[place][1] for place in topic.posts)),
            last=_to_time(max(rows[place][1] for place in topic.posts)),
            examples=tuple(texts[place] for place in topic.examples),
        )
        for topic in found
    )
    return FoundTopics(topics=topics, posts=len(texts), alone=len(texts) - sum(topic.posts for topic in topics))


def _to_time(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
