"""An RSS or Atom feed as a source, asked now and then, and only for what has changed."""

import calendar
import contextlib
import hashlib
import http.client
import io
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import feedparser
from pydantic import ValidationError

from apps.errors import SourceError
from apps.outgoing import deadline, login_of, open_connection, path_of, shut_down
from apps.sources.source import Position, PostBatch, ReadPosition
from chains.monitoring import Post, sort_posts
from llms.field_errors import describe_errors
from retrievers import parse_file, utc_now
from retrievers.errors import DocumentError

_log = logging.getLogger(__name__)

_POLL_S = 300.0
_TIMEOUT_S = 20.0  # of a request, from its beginning to its end
_MAX_BYTES = 10_000_000
_MAX_AHEAD = timedelta(minutes=10)  # of the clock; an entry dated later waits until then
_PART_BYTES = 65_536
_MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Document:
    content: bytes
    headers: Mapping[str, str]


class FeedSource:
    """Posts of an RSS or Atom feed: title and summary of each entry, with the host of the feed as their source.

    A feed that has not changed is not sent again, where its server tells versions apart (`ETag`, `Last-Modified`).
    An entry without a date is dated when it is first seen.

    Args:
        url: `http://` or `https://`. A redirect is not followed, since nobody has set the address it leads to.
        poll_s: seconds between two requests.
        timeout_s: of a request.
        max_bytes: of an answer; a longer one is refused.
    """

    def __init__(
        self, url: str, *, poll_s: float = _POLL_S, timeout_s: float = _TIMEOUT_S, max_bytes: int = _MAX_BYTES
    ) -> None:
        self._parts = urlsplit(url)
        self._poll_s = poll_s
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    @property
    def name(self) -> str:
        """The address without what may be secret."""
        host = self._host if self._parts.port is None else f"{self._host}:{self._parts.port}"
        return urlunsplit((self._parts.scheme, host, self._parts.path, "", ""))

    @property
    def _host(self) -> str:
        return self._parts.hostname or ""

    def batches(self, read_position: ReadPosition, stopping: threading.Event) -> Iterator[PostBatch]:
        """Yield the entries of the feed each time that it has changed; see `PostSource`."""
        key = f"feed {_digest(urlunsplit(self._parts))}"  # the address may hold a token
        known: Mapping[str, str] = json.loads(read_position(key) or "{}")
        while not stopping.is_set():
            document = self._fetch(known)
            if document is None:
                yield PostBatch()
            else:
                now = utc_now()
                posts, is_whole = self._read(document, now)
                ready = tuple(post for post in posts if post.time <= now + _MAX_AHEAD)
                # where an entry has to wait or may be missing, the whole feed is asked for again
                known = document.headers if is_whole and len(ready) == len(posts) else {}
                yield PostBatch(posts=ready, may_repeat=True, position=Position(key, json.dumps(known)))
            stopping.wait(self._poll_s)

    def commit(self, batch: PostBatch) -> None:
        """Nothing has to be let go of: the position says which version was read."""

    def _fetch(self, known: Mapping[str, str]) -> _Document | None:
        """Return the feed, or None where it is as it was."""
        until_s = time.monotonic() + self._timeout_s
        asked = {"If-None-Match": known.get("ETag"), "If-Modified-Since": known.get("Last-Modified")}
        headers = {
            "User-Agent": "TuneChain",
            "Accept": "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.1",
            **{name: value for name, value in asked.items() if value},
            **login_of(self._parts),
        }
        try:
            connection = open_connection(self._parts, timeout_s=self._timeout_s)
            with deadline(self._timeout_s, lambda: shut_down(connection)), contextlib.closing(connection):
                connection.request("GET", path_of(self._parts), headers=headers)
                response = connection.getresponse()
                if response.status == http.HTTPStatus.NOT_MODIFIED:
                    return None
                self._check_status(response)
                return _Document(self._read_body(response, until_s), _validators(response))
        except SourceError:
            raise
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            msg = f"the feed cannot be fetched within {self._timeout_s:g} s: {reason}"
            raise SourceError(msg) from error

    def _check_status(self, response: http.client.HTTPResponse) -> None:
        if response.status == http.HTTPStatus.OK:
            return
        hint = ""
        if 300 <= response.status < 400:
            hint = f"; it has moved to {response.getheader('Location', '')!r}, set that address if you trust it"
        msg = f"the feed's server answered with status {response.status}{hint}"
        raise SourceError(msg)

    def _read_body(self, response: http.client.HTTPResponse, until_s: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := response.read1(_PART_BYTES):
            parts.append(part)
            size += len(part)
            if time.monotonic() >= until_s:  # the connection has handed its socket over, and nobody else looks
                raise TimeoutError
            if size > self._max_bytes:
                msg = f"the feed has more than {self._max_bytes:,} bytes, which is no feed that people read"
                raise SourceError(msg)
        if response.length:
            msg = f"the feed ended {response.length:,} bytes too early"
            raise SourceError(msg)
        return b"".join(parts)

    def _read(self, document: _Document, now: datetime) -> tuple[list[Post], bool]:
        """Return the posts of a feed by time, and whether it is well formed; one that is cut off is not."""
        headers = {"content-type": document.headers.get("Content-Type", "application/xml")}
        feed = feedparser.parse(io.BytesIO(document.content), response_headers=headers)
        if not feed.entries and not feed.get("version"):
            msg = "it is no RSS or Atom feed; give the address of the feed and not of the page that it belongs to"
            raise SourceError(msg)
        posts = (self._to_post(entry, now) for entry in feed.entries)
        return sort_posts(post for post in posts if post is not None), not feed.bozo

    def _to_post(self, entry: Mapping[str, Any], now: datetime) -> Post | None:
        """Return the post of an entry, or None where no post has such an id."""
        title, summary = (_to_text(entry, part) for part in ("title", "summary"))
        text = "\n".join(part for part in (title, summary if summary != title else "") if part)
        own_id = str(entry.get("id") or entry.get("link") or "")
        # ids have a limit, and addresses do not
        entry_id = own_id if 0 < len(own_id) <= _MAX_ID_CHARS else _digest(f"{own_id}\n{text}")
        problem = ""
        for moment in (_find_time(entry), now):  # a date that cannot be right counts as none
            try:
                return Post(id=entry_id, source=self._host, text=text or entry_id, time=moment or now)
            except ValidationError as error:
                problem = describe_errors(error, show_values=True)
        _log.warning("%s: an entry is left out: %s", self.name, problem)
        return None


def _find_time(entry: Mapping[str, Any]) -> datetime | None:
    """Return when an entry was published, or None where it does not say so or gives a date that no calendar has."""
    published = entry.get("published_parsed") or entry.get("updated_parsed")
    if published:
        with contextlib.suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(calendar.timegm(published), UTC)
    return None


def _validators(response: http.client.HTTPResponse) -> dict[str, str]:
    names = ("ETag", "Last-Modified", "Content-Type")
    return {name: value for name in names if (value := response.getheader(name))}


def _to_text(entry: Mapping[str, Any], part: str) -> str:
    """Return the words of a part of an entry in one line; nothing where its HTML has none."""
    text = str(entry.get(part, ""))
    if text and entry.get(f"{part}_detail", {}).get("type") != "text/plain":
        text = _read_html(text)
    return " ".join(text.split())


def _read_html(html: str) -> str:
    raw = f"<body>{html}</body>".encode("utf-8", "replace")
    try:
        return " ".join(document.page_content for document in parse_file(raw, Path("entry.html"), source="entry"))
    except DocumentError:  # no words, as in a picture
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
