"""An RSS or Atom feed as a source: what comes is bounded in time and size, and asked for only when it has changed."""

import contextlib
import http.server
import json
import threading
import time
from datetime import timedelta

import pytest

from apps.errors import SourceError
from apps.sources.feed import FeedSource
from retrievers import utc_now
from tests.apps.sources import counted, monitor_of
from tests.chains.monitoring.streams import MONDAY
from tests.waiting import wait_until

RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
<item><guid>2</guid><title>App &lt;b&gt;down&lt;/b&gt; again</title><description>
&lt;p&gt;Nobody can &lt;i&gt;pay&lt;/i&gt;.&lt;/p&gt;
&lt;script&gt;alert(1)&lt;/script&gt;</description><pubDate>Mon, 02 Mar 2026 10:30:00 +0100</pubDate></item>
<item><guid>1</guid><title>R&amp;D at 5 &lt; 6</title><pubDate>Mon, 02 Mar 2026 08:00:00 GMT</pubDate></item>
<item><link>https://news.example/3</link><title>无日期</title></item>
<item><guid>4</guid><title>wrong clock</title><pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate></item>
<item><guid>5</guid><title>next year</title><pubDate>Mon, 02 Mar 2099 08:00:00 GMT</pubDate></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><id>tag:a,1</id><title>App news</title>
<updated>2026-03-02T09:30:00Z</updated><content type="html">&lt;p&gt;All of it&lt;/p&gt;</content></entry></feed>"""


class _Feed(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        content, headers = self.server.document, self.server.headers
        status = 304 if self.headers.get("If-None-Match") == headers.get("ETag", "-") else self.server.status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if status == 200:
            with contextlib.suppress(OSError):  # who asked may have had enough
                for part in content if isinstance(content, list) else [content.encode()]:
                    self.wfile.write(part)
                    self.wfile.flush()
                    self.server.pause.wait(self.server.pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture
def feed():
    """A server of a feed on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Feed)
    server.document, server.headers, server.status, server.asked = RSS, {}, 200, []
    server.pause, server.pause_s = threading.Event(), 0
    server.address = f"http://127.0.0.1:{server.server_port}/feed?token=secret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.pause.set()
    server.shutdown()
    server.server_close()
    thread.join()


def read_feed(server, *, known=None, **options):
    source = FeedSource(server.address, **options)
    return next(source.batches(lambda _: known, threading.Event()))


def test_entries_of_rss_are_posts(feed):
    before = utc_now()
    batch = read_feed(feed)
    texts = {post.id: (post.text, post.time) for post in batch.posts}
    assert texts["2"] == ("App down again\nNobody can pay.", MONDAY + timedelta(hours=9, minutes=30))
    assert texts["1"] == ("R&D at 5 < 6", MONDAY + timedelta(hours=8))
    assert texts["https://news.example/3"][0] == "无日期"
    assert min(texts["https://news.example/3"][1], texts["4"][1]) >= before
    assert "5" not in texts  # it waits until its time has come
    assert [post.id for post in batch.posts[:2]] == ["1", "2"]
    assert {post.source for post in batch.posts} == {"127.0.0.1"}


def test_entries_of_atom_are_posts(feed):
    feed.document = ATOM
    (post,) = read_feed(feed).posts
    assert (post.id, post.text) == ("tag:a,1", "App news\nAll of it")
    assert post.time == MONDAY + timedelta(hours=9, minutes=30)


def test_a_feed_that_has_not_changed_is_not_sent_again_even_after_a_restart(tmp_path, feed):
    feed.document, feed.headers = ATOM, {"ETag": '"1"', "Last-Modified": "Mon, 02 Mar 2026 10:30:00 GMT"}
    for _ in range(2):
        with monitor_of(tmp_path / "m.sqlite", FeedSource(feed.address, poll_s=0.01)) as monitor:
            wait_until(lambda monitor=monitor: counted(monitor) == 1)
            num_asked = len(feed.asked)
            wait_until(lambda num_asked=num_asked: len(feed.asked) > num_asked + 2)
            assert monitor.snapshot().duplicates == 0
    assert "If-None-Match" not in feed.asked[0]
    assert {asked.get("If-None-Match") for asked in feed.asked[1:]} == {'"1"'}
    assert {asked.get("If-Modified-Since") for asked in feed.asked[1:]} == {"Mon, 02 Mar 2026 10:30:00 GMT"}


def test_where_an_entry_waits_the_feed_is_asked_for_again(feed):
    feed.headers = {"ETag": '"1"'}
    assert json.loads(read_feed(feed).position.value) == {}


@pytest.mark.parametrize(
    ("document", "options", "reason"),
    [
        ("<html><body>a page</body></html>", {}, "no RSS or Atom feed"),
        ("x" * 2000, {"max_bytes": 1000}, "more than 1,000 bytes"),
    ],
)
def test_what_is_no_feed_is_refused(feed, document, options, reason):
    feed.document = document
    with pytest.raises(SourceError, match=reason):
        read_feed(feed, **options)


def test_a_feed_that_drips_ends_in_time(feed):
    feed.document, feed.pause_s = [b" "] * 100, 0.05
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"within 0\.3 s"):
        read_feed(feed, timeout_s=0.3)
    assert time.monotonic() - begun < 4  # and not all that is sent


def test_a_feed_that_is_cut_off_is_asked_for_again(feed):
    feed.headers = {"ETag": '"1"'}
    feed.document = ATOM.partition("</entry>")[0]
    assert json.loads(read_feed(feed).position.value) == {}
    feed.document, feed.headers = ATOM, {"Content-Length": str(len(ATOM) + 7), "Connection": "close"}
    with pytest.raises(SourceError, match="7 bytes too early"):
        read_feed(feed)


def test_redirects_are_named_and_not_followed(feed):
    feed.status, feed.headers = 301, {"Location": "http://127.0.0.1:1/internal"}
    with pytest.raises(SourceError, match=r"moved to 'http://127\.0\.0\.1:1/internal'"):
        read_feed(feed)


def test_entities_of_a_feed_do_not_grow(feed):
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    feed.document = f'<!DOCTYPE rss [<!ENTITY l0 "lol">{levels}]>' + RSS.partition("?>")[2].replace("again", "&l9;")
    assert max(len(post.text) for post in read_feed(feed).posts) < 1000


def test_the_address_of_a_feed_may_hold_a_login(feed):
    feed.address = feed.address.replace("http://", "http://ann:pass@")
    read_feed(feed)
    assert feed.asked[0]["Authorization"] == "Basic YW5uOnBhc3M="


def test_the_address_of_a_feed_keeps_its_secret(feed):
    assert FeedSource(feed.address.replace("http://", "http://user:pass@")).name == feed.address.partition("?")[0]
