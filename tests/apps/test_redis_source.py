"""A Redis stream as a source: an entry is acknowledged once its post is stored, and what is no post is put aside."""

import itertools
import threading

import pytest

from apps.sources.redis_stream import RedisSource
from tests.apps.sources import POSTS, counted, monitor_of
from tests.reliability.redis_servers import run_redis
from tests.waiting import wait_until


@pytest.fixture
def server():
    with run_redis() as server:
        yield server


def redis_source(server, **options):
    return RedisSource(server.url, **{"stream": "posts", "group": "monitor", **options})


def read_some(source, *, count=1):
    """Return the next batches of a source, without letting go of them."""
    batches = source.batches(lambda _: None, threading.Event())
    return list(itertools.islice((batch for batch in batches if not batch.is_empty), count))


def test_what_is_not_acknowledged_comes_again(server):
    for post in POSTS:
        server.client.xadd("posts", {"post": post.model_dump_json()})
    (first,) = read_some(redis_source(server))
    (again,) = read_some(redis_source(server))
    assert first.posts == again.posts == tuple(POSTS)
    assert (first.may_repeat, again.may_repeat) == (False, True)
    redis_source(server).commit(again)
    assert server.client.xpending("posts", "monitor")["pending"] == 0


def test_what_another_consumer_left_is_taken_over(server):
    server.client.xgroup_create("posts", "monitor", id="0", mkstream=True)
    for post in POSTS:
        server.client.xadd("posts", post.model_dump(mode="json"))
    server.client.xreadgroup("monitor", "somebody else", {"posts": ">"}, count=4)
    taken, fresh = read_some(redis_source(server, claim_idle_ms=0), count=1), []
    assert [post.id for post in taken[0].posts] == ["p0", "p1", "p2", "p3"]
    redis_source(server).commit(taken[0])
    fresh = read_some(redis_source(server))
    assert [post.id for post in fresh[0].posts] == ["p4", "p5"]


def test_an_entry_that_is_no_post_is_put_aside_with_its_reason(server, caplog):
    server.client.xadd("posts", {"text": "no id"})
    server.client.xadd("posts", {"post": "[1]"})
    server.client.xadd("posts", {**POSTS[0].model_dump(mode="json"), "text": b"\xff\xfe"})
    server.client.xadd("posts", POSTS[1].model_dump(mode="json"))
    source = redis_source(server)
    (batch,) = read_some(source)
    assert batch.posts == (POSTS[1],)
    source.commit(batch)
    rejected = [fields for _, fields in server.client.xrange("posts:rejected")]
    assert [fields[b"reason"].decode()[:12] for fields in rejected] == [
        "no 'id'",
        "the field 'p",
        rejected[2][b"reason"].decode()[:12],
    ]
    assert rejected[2][b"text"] == b"\xff\xfe"
    assert server.client.xpending("posts", "monitor")["pending"] == 0
    assert "3 entries of Redis stream posts are no posts" in caplog.text


def test_reading_goes_on_when_redis_comes_back(tmp_path, server, caplog):
    source = redis_source(server)
    with monitor_of(tmp_path / "m.sqlite", source) as monitor:
        server.client.xadd("posts", POSTS[0].model_dump(mode="json"))
        wait_until(lambda: counted(monitor) == 1)
        server.kill()
        wait_until(lambda: "is tried again until it works" in caplog.text)
        server.start()
        server.client.xadd("posts", POSTS[1].model_dump(mode="json"))
        wait_until(lambda: counted(monitor) == 2)
    assert caplog.text.count("is tried again until it works") == 1
