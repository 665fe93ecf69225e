"""The protocol of sources: batches of posts with a position, let go of once they are stored."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from chains.monitoring import Post


@dataclass(frozen=True, slots=True)
class Position:
    """How far a part of a source was read.

    Attributes:
        name: of the part, the same after each start.
        value: where reading goes on.
    """

    name: str
    value: str


ReadPosition = Callable[[str], str | None]  # name of a part -> what was stored last


@dataclass(frozen=True, slots=True, kw_only=True)
class PostBatch:
    """Posts that came together; an empty one says that the source was read and had nothing.

    Attributes:
        posts: in the order in which they are to be taken; maybe none.
        position: what is stored in the same transaction as the posts.
        may_repeat: whether posts may have come before, which is then no news.
        handle: what `commit` needs to let go of them.
    """

    posts: tuple[Post, ...] = ()
    position: Position | None = None
    may_repeat: bool = False
    handle: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store and nothing to let go of."""
        return not self.posts and self.position is None and self.handle is None


class PostSource(Protocol):
    """Somewhere posts come from; one thread reads it.

    A batch that was stored and not let go of comes again after a restart, which changes nothing: a post is known by
    its source and id. A batch that was not stored comes again as well, so no post is lost.
    """

    @property
    def name(self) -> str:
        """What it is called in the log; no password is in it."""

    def batches(self, read_position: ReadPosition, stopping: threading.Event) -> Iterator[PostBatch]:
        """Yield what comes, waiting for it; each batch that is not empty is committed before the next is asked for.

        Args:
            read_position: gives what was stored last.
            stopping: set when reading is to end soon.

        Raises:
            SourceError: if the source cannot be read now; calling this again goes on where it was.
        """

    def commit(self, batch: PostBatch) -> None:
        """Let go of a batch, which is stored.

        Raises:
            SourceError: as `batches`.
        """
