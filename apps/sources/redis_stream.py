"""A Redis stream as a source, read as a consumer group: an entry is acknowledged once its post is stored."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import redis

from apps.errors import SourceError
from apps.readers import to_post
from apps.sources.source import PostBatch, ReadPosition
from chains.monitoring import TEXTS_PER_BATCH, Post
from llms.finetuning.data import RejectedRow
from llms.texts import parse_record

_log = logging.getLogger(__name__)

CONSUMER = "monitor"  # one reads for a workspace at a time, so all of its runs are one consumer
REJECTED_SUFFIX = ":rejected"
_BLOCK_MS = 1_000  # of one call, so that reading can end
_TIMEOUT_S = 10.0
_CLAIM_IDLE_MS = 60_000  # after which what another consumer of the group took is taken from it
_MAX_REJECTED = 10_000

_Entry = tuple[bytes, Mapping[bytes, bytes] | None]


class RedisSource:
    """Posts of a Redis stream.

    An entry has the fields `id`, `time`, `source` and `text`, or one field `post` with a JSON object of them. What is
    no post goes to the stream `NAME:rejected`, with the reason.

    What was read and not acknowledged comes again first, then what other consumers of the group left behind, then
    what is new.

    Args:
        url: `redis://`, `rediss://` or `unix://`; may hold a password.
        stream: its name.
        group: of consumers, which is made at the beginning of the stream if it is not there.
        claim_idle_ms: for how long another consumer must have left an entry.
    """

    def __init__(self, url: str, *, stream: str, group: str, claim_idle_ms: int = _CLAIM_IDLE_MS) -> None:
        self._client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            health_check_interval=30,
        )
        self._stream = stream
        self._group = group
        self._claim_idle_ms = claim_idle_ms
        self._next_claim_s = 0.0

    @property
    def name(self) -> str:
        """The stream."""
        return f"Redis stream {self._stream}"

    def batches(self, read_position: ReadPosition, stopping: threading.Event) -> Iterator[PostBatch]:  # noqa: ARG002
        """Yield the posts of entries as they come; see `PostSource`. The group knows the position."""
        try:
            self._make_group()
            while not stopping.is_set() and (entries := self._read("0")):
                yield self._to_batch(entries, may_repeat=True)
            self._next_claim_s = 0.0
            while not stopping.is_set():
                if entries := self._claim():
                    yield self._to_batch(entries, may_repeat=True)
                elif entries := self._read(">"):
                    yield self._to_batch(entries)
                else:
                    yield PostBatch()
        except redis.RedisError as error:
            raise _explained(error) from error

    def commit(self, batch: PostBatch) -> None:
        """Acknowledge the entries of a batch, and put those that are no posts where they can be looked at."""
        ids, rejected = cast("tuple[list[bytes], list[tuple[_Entry, str]]]", batch.handle)
        try:
            with self._client.pipeline(transaction=True) as pipeline:
                for (entry_id, fields), reason in rejected:
                    kept: dict[Any, Any] = {**(fields or {}), "entry": entry_id, "reason": reason}
                    pipeline.xadd(f"{self._stream}{REJECTED_SUFFIX}", kept, maxlen=_MAX_REJECTED, approximate=True)
                pipeline.xack(self._stream, self._group, *ids)
                pipeline.execute()
        except redis.RedisError as error:
            raise _explained(error) from error
        if rejected:
            (entry_id, _), reason = rejected[0]
            _log.warning(
                "%d entries of %s are no posts and now in %s%s, the first being %s: %s",
                len(rejected),
                self.name,
                self._stream,
                REJECTED_SUFFIX,
                entry_id.decode(),
                reason,
            )

    def _make_group(self) -> None:
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _read(self, since: str) -> list[_Entry]:
        """Return entries that nobody has read yet (">"), waiting for them, or those this consumer still has ("0")."""
        found = self._client.xreadgroup(
            self._group, CONSUMER, {self._stream: since}, count=TEXTS_PER_BATCH, block=_BLOCK_MS
        )
        return [entry for _, entries in cast("list[tuple[bytes, list[_Entry]]]", found or []) for entry in entries]

    def _claim(self) -> list[_Entry]:
        """Return entries that another consumer took and left; looked for now and then."""
        if time.monotonic() < self._next_claim_s:
            return []
        reply = self._client.xautoclaim(self._stream, self._group, CONSUMER, self._claim_idle_ms, count=TEXTS_PER_BATCH)
        entries = cast("list[_Entry]", cast("Sequence[Any]", reply)[1])
        if not entries:
            self._next_claim_s = time.monotonic() + self._claim_idle_ms / 1000
        return entries

    def _to_batch(self, entries: Sequence[_Entry], *, may_repeat: bool = False) -> PostBatch:
        posts: list[Post] = []
        rejected: list[tuple[_Entry, str]] = []
        for entry in entries:
            made = _to_post(entry[1])
            if isinstance(made, Post):
                posts.append(made)
            else:
                rejected.append((entry, made.reason))
        return PostBatch(
            posts=tuple(posts), may_repeat=may_repeat, handle=([entry_id for entry_id, _ in entries], rejected)
        )


def _to_post(fields: Mapping[bytes, bytes] | None) -> Post | RejectedRow:
    if not fields:
        return RejectedRow(0, "the stream was trimmed before the entry was read")
    values: dict[str, Any] = {_to_text(name): _to_text(value) for name, value in fields.items()}
    if "post" in values:
        record = parse_record(values["post"], 0)
        if record.problem or not isinstance(record.value, dict):
            return RejectedRow(0, record.problem or "the field 'post' must hold a JSON object")
        values = record.value
    return to_post(values, line=0)


def _to_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # which `to_post` refuses


def _explained(error: redis.RedisError) -> SourceError:
    hint = ""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        hint = "; check the address in monitoring.sources and that the server runs"
    return SourceError(f"Redis cannot be asked: {error}{hint}")
