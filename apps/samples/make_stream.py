"""Writer of the monitoring use case's sample streams; run `python -m apps.samples.make_stream`.

The texts come from the sentence patterns in `stream_phrases.yaml`. Everything is drawn from one
seed per language, so that a second run writes the same bytes.
"""

import csv
import json
import math
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml

SAMPLES_DIR: Final = Path(__file__).parent
START: Final = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAYS: Final = 30
SOURCE_SHARES: Final = {
    "newswire": 0.34,
    "microblog": 0.28,
    "forum": 0.16,
    "blog": 0.12,
    "analyst": 0.10,
}
# topic -> (share of all posts, negative share, neutral share); what is left is positive
TOPIC_SHARES: Final = {
    "markets": (0.28, 0.26, 0.38),
    "earnings": (0.20, 0.24, 0.40),
    "technology": (0.17, 0.22, 0.39),
    "regulation": (0.14, 0.27, 0.43),
    "leadership": (0.12, 0.25, 0.42),
    "mergers": (0.09, 0.23, 0.40),
}
WEEKEND: Final = (5, 6)  # Saturday and Sunday, as `datetime.weekday` counts
WEEKEND_SHARE: Final = 0.55  # of a working day's posts
SLOT: Final = re.compile(r"\{([a-z]+)(\d?)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """When one topic turns negative, and how strongly."""

    topic: str = "regulation"
    start: datetime = datetime(2026, 3, 19, 6, tzinfo=UTC)
    hours: int = 48
    extra_posts: int = 300
    negative_share: float = 0.8
    neutral_share: float = 0.13
    story_share: float = 0.85  # of the topic's posts in the surge; the rest is everyday news

    @property
    def end(self) -> datetime:
        """Return the first moment after the surge."""
        return self.start + timedelta(hours=self.hours)

    def covers(self, topic: str, time: datetime) -> bool:
        """Return whether a post on `topic` at `time` belongs to the surge."""
        return topic == self.topic and self.start <= time < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What the stream of one language holds."""

    language: str
    everyday_posts: int
    seed: int
    surge: Surge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """The sentence patterns of one language, as they stand in the YAML file."""

    slots: dict[str, list[str]]
    openers: dict[str, list[str]]  # source -> first words
    patterns: dict[str, dict[str, list[str]]]  # topic -> sentiment -> patterns
    surge: dict[str, list[str]] = field(default_factory=dict)  # sentiment -> patterns


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post with its true labels, which are not written to the stream."""

    time: datetime
    source: str
    text: str
    topic: str
    sentiment: str


PLANS: Final = (
    StreamPlan(language="en", everyday_posts=2700, seed=3, surge=Surge()),
    StreamPlan(language="zh", everyday_posts=400, seed=4),
)


def load_phrases(language: str) -> Phrases:
    """Return the patterns and slot lists of one language."""
    text = (SAMPLES_DIR / "stream_phrases.yaml").read_text(encoding="utf-8")
    return Phrases(**yaml.safe_load(text)[language])


def hour_weight(time: datetime) -> float:
    """Return how many posts an hour gets, relative to the quietest hour of a working day.

    Example:
        >>> monday = datetime(2026, 3, 2, tzinfo=UTC)
        >>> round(hour_weight(monday.replace(hour=14)) / hour_weight(monday.replace(hour=3)), 1)
        4.9
    """
    rhythm = 3.0 + 2.0 * math.cos(2 * math.pi * (time.hour - 14.5) / 24)  # 1 at night, 5 at 14:30
    return rhythm * (WEEKEND_SHARE if time.weekday() in WEEKEND else 1.0)


def draw_times(count: int, *, start: datetime, hours: int, rng: random.Random) -> list[datetime]:
    """Return `count` moments from `start` on that follow the daily and weekly rhythm."""
    slots = [start + timedelta(hours=hour) for hour in range(hours)]
    drawn = rng.choices(slots, weights=[hour_weight(slot) for slot in slots], k=count)
    return [slot + timedelta(seconds=rng.randrange(3600)) for slot in drawn]


def negative_share(topic: str, time: datetime) -> float:
    """Return the everyday share of negative posts: it drifts by a tenth over the week."""
    _, share, _ = TOPIC_SHARES[topic]
    phase = list(TOPIC_SHARES).index(topic)  # topics must not drift in step
    day = (time - START).days
    return share * (1 + 0.1 * math.sin(2 * math.pi * (day + phase) / 7) + 0.04 * math.sin(day * 2.3))


def draw_sentiment(topic: str, time: datetime, *, surge: Surge | None, rng: random.Random) -> str:
    """Return the sentiment of a post on `topic` at `time`."""
    negative, neutral = negative_share(topic, time), TOPIC_SHARES[topic][2]
    if surge is not None and surge.covers(topic, time):
        negative, neutral = surge.negative_share, surge.neutral_share
    draw = rng.random()
    if draw < negative:
        return "negative"
    return "neutral" if draw < negative + neutral else "positive"


def fill_slots(pattern: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    """Return `pattern` with a value for every slot, starting with a capital letter.

    The same slot gets the same value; a numbered one (`{company2}`) another value of the list.

    Example:
        >>> slots = {"company": ["Vantry", "Selvane"]}
        >>> fill_slots("{company} buys {company2}", slots, random.Random(1))
        'Vantry buys Selvane'
    """
    values: dict[str, str] = {}

    def choose(match: re.Match[str]) -> str:
        if match[0] not in values:
            left = [value for value in slots[match[1]] if value not in values.values()]
            values[match[0]] = rng.choice(left)
        return values[match[0]]

    text = SLOT.sub(choose, pattern)
    return text[:1].upper() + text[1:]


def draw_text(patterns: list[str], opener: str, phrases: Phrases, rng: random.Random) -> str:
    """Return one sentence of `patterns` behind `opener`, all slots filled."""
    text = fill_slots(rng.choice(patterns), phrases.slots, rng)
    return fill_slots(opener, phrases.slots, rng) + text


def draw_post(topic: str, time: datetime, *, plan: StreamPlan, phrases: Phrases, rng: random.Random) -> Post:
    """Return one post on `topic`; during the surge it mostly tells the surge's story."""
    sentiment = draw_sentiment(topic, time, surge=plan.surge, rng=rng)
    patterns = phrases.patterns[topic][sentiment]
    surge = plan.surge
    if surge is not None and surge.covers(topic, time) and rng.random() < surge.story_share:
        patterns = phrases.surge[sentiment]
    source = rng.choices(list(SOURCE_SHARES), weights=list(SOURCE_SHARES.values()))[0]
    text = draw_text(patterns, rng.choice(phrases.openers[source]), phrases, rng)
    return Post(time=time, source=source, text=text, topic=topic, sentiment=sentiment)


def make_posts(plan: StreamPlan, phrases: Phrases) -> list[Post]:
    """Return the posts of one stream in order of time; no text comes twice."""
    rng = random.Random(plan.seed)
    topics = [topic for topic in TOPIC_SHARES if topic in phrases.patterns]
    weights = [TOPIC_SHARES[topic][0] for topic in topics]
    times = draw_times(plan.everyday_posts, start=START, hours=24 * DAYS, rng=rng)
    moments = [(time, rng.choices(topics, weights=weights)[0]) for time in times]
    if plan.surge is not None:
        surge = plan.surge
        extra = draw_times(surge.extra_posts, start=surge.start, hours=surge.hours, rng=rng)
        moments += [(time, surge.topic) for time in extra]

    posts: dict[str, Post] = {}
    for time, topic in sorted(moments):
        post = draw_post(topic, time, plan=plan, phrases=phrases, rng=rng)
        while post.text in posts:
            post = draw_post(topic, time, plan=plan, phrases=phrases, rng=rng)
        posts[post.text] = post
    return list(posts.values())


def write_stream(posts: list[Post], path: Path) -> None:
    """Write the posts as JSON lines, without their true labels."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number, post in enumerate(posts, start=1):
            row = {
                "id": f"p{number:05d}",
                "time": post.time.isoformat(),
                "source": post.source,
                "text": post.text,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_known_surge(surge: Surge, path: Path) -> None:
    """Write the one surge of the stream as a table with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["topic", "start", "end"])
        writer.writerow([surge.topic, surge.start.isoformat(), surge.end.isoformat()])


def main() -> None:
    """Rewrite the streams of all languages and the list of known surges."""
    for plan in PLANS:
        folder = SAMPLES_DIR / plan.language / "monitoring"
        folder.mkdir(parents=True, exist_ok=True)
        posts = make_posts(plan, load_phrases(plan.language))
        write_stream(posts, folder / "stream.jsonl")
        if plan.surge is not None:
            write_known_surge(plan.surge, folder / "known_surges.csv")


if __name__ == "__main__":
    main()
