"""Interface of the engines that generate tokens."""

import atexit
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llms.engines.adapters import Adapter
from llms.engines.requests import GenerationRequest, TokenEvent
from llms.errors import ContextOverflowError, EngineBusyError, InputTextError


@dataclass(frozen=True, slots=True)
class Ticket:
    """The caller's side of a request.

    Attributes:
        cancel: ends the request within one further token; its last event says "cancelled". Safe to call at any time.
    """

    cancel: Callable[[], None]


class Engine(ABC):
    """Requests in, token events out; requests of all threads and event loops are worked on together.

    Attributes:
        name: what users call the engine.
        context_tokens: how many tokens prompt and answer may have together.
        end_ids: the tokens that end an answer.
        max_running: requests worked on at the same time.
        max_waiting: requests that may wait beside them; one more is refused.
    """

    name: str

    def __init__(
        self, *, context_tokens: int, end_ids: frozenset[int], max_running: int = 32, max_waiting: int = 64
    ) -> None:
        self.context_tokens = context_tokens
        self.end_ids = end_ids
        self.max_running = max_running
        self.max_waiting = max_waiting
        _ENGINES.add(self)

    @abstractmethod
    def submit(self, request: GenerationRequest, deliver: Callable[[TokenEvent], None]) -> Ticket:
        """Queue a request and return at once.

        Args:
            deliver: called on the engine's thread with each event; it must be quick. An event with a finish
                reason or an error always comes, exactly once, and nothing after it.

        Raises:
            InputTextError: if the prompt is empty.
            ContextOverflowError: if prompt and answer do not fit into the context.
            ConstraintError: if the constraint is too large, or no answer can match it; an engine in another process
                delivers this one and the next with the event.
            UnsupportedOptionError: if an option, the adapter or the constraint is not offered here.
            EngineBusyError: if too many requests wait already.
        """

    @abstractmethod
    def expect(self, num_requests: int) -> None:
        """Say that so many requests are about to come, so that they begin together: prompts run at once cost less.

        None of them waits longer than 50 ms for the others.
        """

    @abstractmethod
    def score(
        self,
        prompt_ids: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        adapter: Adapter | None = None,
        cache_salt: str = "",
    ) -> list[float]:
        """Return the log probability of each continuation after the prompt, end token not included.

        Args:
            cache_salt: as of a `GenerationRequest`.
        """

    @property
    @abstractmethod
    def num_active(self) -> int:
        """Requests that run or wait."""

    @property
    def is_ready(self) -> bool:
        """Whether a request could begin now, if there is room."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Cancel all requests and end what works on them; the engine starts again with the next request."""

    def check_room(self, request: GenerationRequest) -> None:
        """Refuse a request that cannot fit, before any work is done for it."""
        size, limit = len(request.prompt_ids), request.options.max_new_tokens
        if not size:
            msg = "the prompt is empty, there is nothing to continue; pass at least one character"
            raise InputTextError(msg)
        if size + limit > self.context_tokens:
            msg = (
                f"prompt ({size} tokens) and answer (up to {limit}) need {size + limit} tokens, "
                f"the model takes {self.context_tokens}; shorten the prompt or lower max_tokens"
            )
            raise ContextOverflowError(msg)

    def check_queue(self) -> None:
        """Refuse a request where as many wait as may."""
        if self.num_active >= self.max_running + self.max_waiting:
            msg = (
                f"{self.num_active} requests run or wait already, at most {self.max_running} may run and "
                f"{self.max_waiting} wait; try again later or ask less at a time"
            )
            raise EngineBusyError(msg)


_ENGINES: "weakref.WeakSet[Engine]" = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    # a native library must not be at work while the interpreter shuts down, and no process may stay behind
    for engine in list(_ENGINES):
        engine.close()
