"""Batches of posts from a file or standard input, in the order of the lines and in bounded memory."""

import io
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from apps.readers import read_post_lines, read_posts
from chains.monitoring import TEXTS_PER_BATCH, Post, sort_posts
from llms.finetuning.data import RejectedRow, refuse_bad_file

T = TypeVar("T")

TICK_S = 20.0  # of silence, after which an empty batch lets time pass
_LINGER_S = 0.02  # for more lines: classifying one text alone takes as long as several
_WAITING = 4 * TEXTS_PER_BATCH  # lines that are read ahead of the classifiers
_LINE_SUFFIXES = (".jsonl", ".ndjson")
_MAX_FIRST_LINE = 1_000_000

OnRejected = Callable[[Sequence[RejectedRow]], None]


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a stream, or the error that ended it."""

    error: BaseException | None = None


def read_file_batches(path: Path, on_rejected: OnRejected, *, in_order_of_time: bool = False) -> Iterator[list[Post]]:
    """Yield the posts of a file; of one JSON object per line in bounded memory, any other is read whole.

    Args:
        path: of the file.
        on_rejected: told which rows were set aside.
        in_order_of_time: read the file whole, and sort it first.

    Raises:
        DataFileError: if the file is missing or empty, or most of it cannot be used.
    """
    if in_order_of_time or not _has_object_per_line(path):
        posts, rejected = read_posts(path)
        on_rejected(rejected)
        entries: Iterator[Post | RejectedRow] = iter(sort_posts(posts) if in_order_of_time else posts)
        yield from _cut(iter(lambda: list(itertools.islice(entries, TEXTS_PER_BATCH)), []), on_rejected)
        return
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        lines = read_post_lines(file)
        batches = iter(lambda: list(itertools.islice(lines, TEXTS_PER_BATCH)), [])
        first = next(batches, [])
        # a file of something else is refused before anything is said about it
        rejected = [entry for entry in first if isinstance(entry, RejectedRow)]
        refuse_bad_file(path, [entry for entry in first if isinstance(entry, Post)], rejected)
        yield from _cut(itertools.chain([first], batches), on_rejected)


def read_live_batches(stream: TextIO, on_rejected: OnRejected, *, tick_s: float = TICK_S) -> Iterator[list[Post]]:
    """Yield the posts of a stream of lines as they come, an empty batch after each `tick_s` without any."""
    yield from _cut(gather(read_post_lines(_own_reader(stream)), tick_s=tick_s), on_rejected)


def pace(batches: Iterable[list[Post]], speed: float) -> Iterator[list[Post]]:
    """Yield posts when they are due in a replay that runs `speed` times as fast as they happened.

    Posts that are due at the same moment, or were due before it, come together.
    """
    begun_s = time.monotonic()
    first_s: float | None = None
    due: list[Post] = []
    for post in itertools.chain.from_iterable(batches):
        first_s = post.time.timestamp() if first_s is None else first_s
        wait_s = (post.time.timestamp() - first_s) / speed - (time.monotonic() - begun_s)
        if due and (wait_s > 0 or len(due) >= TEXTS_PER_BATCH):
            yield due
            due = []
        if wait_s > 0:
            time.sleep(wait_s)
        due.append(post)
    if due:
        yield due


def gather(entries: Iterable[T], *, tick_s: float, size: int = TEXTS_PER_BATCH) -> Iterator[list[T]]:
    """Yield what has come, at most `size` at a time, and an empty list after each `tick_s` of silence.

    Example:
        >>> list(gather("abcde", tick_s=1.0, size=2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    waiting: queue.Queue[tuple[T] | _End] = queue.Queue(maxsize=_WAITING)

    def read() -> None:
        try:
            for entry in entries:
                waiting.put((entry,))
            waiting.put(_End())
        except BaseException as error:
            waiting.put(_End(error))

    # not waited for: it may read from a terminal at which nobody types
    threading.Thread(target=read, name="line-reader", daemon=True).start()
    end = None
    while end is None:
        batch, end = _take_batch(waiting, tick_s=tick_s, size=size)
        if batch or end is None:
            yield batch
    if end.error is not None:
        raise end.error


def _take_batch(waiting: "queue.Queue[tuple[T] | _End]", *, tick_s: float, size: int) -> tuple[list[T], _End | None]:
    """Return what has come or comes soon after, and the end once it is there."""
    batch: list[T] = []
    until_s = time.monotonic() + tick_s
    while len(batch) < size:
        try:
            item = waiting.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(item, _End):
            return batch, item
        if not batch:
            until_s = time.monotonic() + _LINGER_S
        batch.append(item[0])
    return batch, None


def _cut(batches: Iterable[Sequence[Post | RejectedRow]], on_rejected: OnRejected) -> Iterator[list[Post]]:
    for batch in batches:
        rejected = [entry for entry in batch if isinstance(entry, RejectedRow)]
        if rejected:
            on_rejected(rejected)
        posts = [entry for entry in batch if isinstance(entry, Post)]
        if posts or not rejected:
            yield posts


def _has_object_per_line(path: Path) -> bool:
    """Return whether the first line of a file is a JSON object in UTF-8."""
    if path.suffix.lower() not in _LINE_SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline(_MAX_FIRST_LINE)
    try:
        return isinstance(json.loads(line.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _own_reader(stream: TextIO) -> TextIO:
    """Return another reader of the same descriptor, whose lock does not hold up the end of the program."""
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, OSError):
        return stream
    return open(descriptor, encoding="utf-8", errors="surrogateescape", closefd=False)
