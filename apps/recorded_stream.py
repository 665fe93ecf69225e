"""Recorded posts of a workspace, in a file that other programs may go on writing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.readers import read_posts
from apps.settings import Settings
from chains.monitoring import Post
from llms.errors import InputTextError
from llms.texts import check_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """A file of posts that programs may go on writing."""

    path: Path

    @classmethod
    def of(cls, settings: Settings) -> "RecordedStream":
        """Return the stream of a workspace; its file need not be there."""
        return cls(settings.records_folder(settings.monitoring) / "stream.jsonl")

    def stamp(self) -> tuple[int, int] | None:
        """Return what changes when the file does, or None where there is none."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return None
        return state.st_mtime_ns, state.st_size

    def read(self) -> Sequence[Post]:
        """Return the posts that a model can read; the others are counted in the log."""
        if not self.path.exists():
            return ()
        posts, rejected = read_posts(self.path)
        usable = [post for post in posts if _is_usable(post)]
        if len(usable) < len(posts) + len(rejected):
            _log.warning("%d rows of %s cannot be used", len(posts) + len(rejected) - len(usable), self.path.name)
        return usable


def _is_usable(post: Post) -> bool:
    try:
        check_text(post.text)
    except InputTextError:
        return False
    return True
