"""Posts of no known topic are shown by what they are about: those of the last days, copies left out."""

import contextlib
import json
import random
from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from apps import workspace_models
from apps.cli import app
from apps.monitoring_run import MonitoringRun
from apps.monitoring_state import MonitoringStore
from apps.settings import SETTINGS_NAME, load_settings
from apps.unknown_posts import find_topics
from chains.monitoring import Post, build_monitoring_chain
from llms.fakes import HashedEmbeddings
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC

WORDS = ["red", "green", "blue", "pink", "brown", "black", "white", "grey", "gold", "lime", "teal", "navy", "plum"]


def embed(texts):
    return np.array(HashedEmbeddings(dimension=256).embed_documents(list(texts)), dtype=np.float32)


@pytest.fixture
def settings(tmp_path):
    """A workspace whose monitor has seen two topics that it does not know, one of them three weeks ago."""
    chance = random.Random(4)

    def text(subject):
        return " ".join([*[subject] * 4, *chance.sample(WORDS, 3)])

    rows = [(f"old {number}", text("strike"), number) for number in range(40)]
    rows += [(f"new {number}", text("earthquake"), 21 * 1440 + number) for number in range(30)]
    rows += [(f"copy {number}", f"{'earthquake ' * 4}here", 21 * 1440 + number) for number in range(30)]
    rows += [(f"any {number}", " ".join(chance.sample(WORDS, 6)), 21 * 1440 + number) for number in range(30)]
    rows += [(f"app {number}", f"app {number}", 21 * 1440 + number) for number in range(30)]
    posts = [Post(id=name, source="s", text=words, time=MONDAY + timedelta(minutes=at)) for name, words, at in rows]
    (tmp_path / SETTINGS_NAME).write_text("", "utf-8")
    settings = load_settings(tmp_path)
    with contextlib.closing(MonitoringStore(settings.monitoring_file)) as store:
        run = MonitoringRun(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), store)
        run.take(sorted(posts, key=lambda post: post.time))
        later = [Post(id=str(n), source="s", text=f"app {n}", time=MONDAY + timedelta(days=22)) for n in range(3)]
        run.take(later)  # so that copies are known
    return settings


def test_topics_of_the_last_days_are_found_without_copies(settings):
    with contextlib.closing(MonitoringStore(settings.monitoring_file)) as store:
        found = find_topics(store.database, embed, days=7, min_posts=8)
        both = find_topics(store.database, embed, days=30, min_posts=8)
    assert found.topics[0].words[0] == "earthquake"
    assert 25 <= found.topics[0].posts <= 31
    assert all("earthquake" in text for text in found.topics[0].examples)
    assert (found.posts, found.alone) == (61, 61 - sum(topic.posts for topic in found.topics))
    assert {topic.words[0] for topic in both.topics} >= {"earthquake", "strike"}


def test_the_command_shows_them(settings, monkeypatch):
    encoder = type("Encoder", (), {"embed_array": staticmethod(embed)})
    monkeypatch.setattr(workspace_models, "open_embeddings", lambda _: encoder)
    words = ["monitor", "topics", "-w", str(settings.workspace)]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "earthquake" in shown.stdout.splitlines()[0]
    assert "61 posts of no known topic" in shown.stderr
    found = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert found["topics"][0]["words"][0] == "earthquake"


def test_a_workspace_without_such_posts_has_no_topics(tmp_path):
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        found = find_topics(store.database, embed, days=7, min_posts=8)
    assert (found.topics, found.posts) == ((), 0)
