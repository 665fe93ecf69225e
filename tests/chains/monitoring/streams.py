"""Simulated posts: quiet topics with a day and a weekend, and surges on demand."""

import math
import random
from datetime import UTC, datetime, timedelta

from chains.monitoring import Post, Reading
from llms import fakes

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)

TOPIC = fakes.FixedClassifier({"app": "app", "fee": "fees", "loan": "loans"})
SENTIMENT = fakes.FixedClassifier({"terrible": "negative", "lovely": "positive"}, default="neutral")


def make_posts(
    *,
    word="app",
    days=30.0,
    per_hour=3.0,
    share=0.15,
    seed=0,
    start=MONDAY,
    surge_at_h=None,
    surge_h=24.0,
    surge_share=0.6,
):
    """Return the posts of one topic in order; from `surge_at_h` on the share of negatives is `surge_share`."""
    chance = random.Random(f"{seed}/{word}")
    posts = []
    for hour in range(int(days * 24)):
        at = start + timedelta(hours=hour)
        rate = per_hour * (1 + 0.5 * math.sin(2 * math.pi * (at.hour - 8) / 24))
        surging = surge_at_h is not None and surge_at_h <= hour < surge_at_h + surge_h
        negative_share = surge_share if surging else share
        for place in range(_draw_poisson(chance, rate)):
            mood = "terrible" if chance.random() < negative_share else chance.choice(["plain", "lovely"])
            text = f"{mood} {word} {hour * 7919 % 10_007} {chance.random():.6f}"
            time = at + timedelta(seconds=chance.uniform(0, 3600))
            posts.append(Post(id=f"{word}-{hour}-{place}", source="forum", text=text, time=time))
    return sorted(posts, key=lambda post: post.time)


def read_posts(posts):
    """Return the posts' readings, as the chain would make them."""
    return [Reading(post=p, topic=TOPIC.invoke(p.text), sentiment=SENTIMENT.invoke(p.text)) for p in posts]


def _draw_poisson(chance, mean):
    count, product = 0, chance.random()
    while product > math.exp(-mean):
        count += 1
        product *= chance.random()
    return count
