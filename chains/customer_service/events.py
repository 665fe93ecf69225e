"""Callback handlers of a run: events into the graph's stream, and cancelling an unwanted reply."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from typing_extensions import override

from chains.customer_service.schema import ServiceEvent
from chains.customer_service.steps import EVENT_NAME
from chains.errors import ReplyAbandonedError


class BreakOff(BaseCallbackHandler):
    """Ends a run at its next event or token once nobody wants its result.

    Args:
        is_wanted: is asked each time.
    """

    run_inline = True
    raise_error = True  # what is raised here ends the run

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted

    @override
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._check()

    @override
    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **kwargs: Any) -> None:
        self._check()

    def _check(self) -> None:
        if not self._is_wanted():
            msg = "the reply is not wanted any more; send the message again to finish it"
            raise ReplyAbandonedError(msg)


class EventRelay(BaseCallbackHandler):
    """Passes the custom events of one run of the chain on to the graph's stream.

    A customer must not read a hand-over that a second reading may still avert, nor an answer that is then not taken.

    Args:
        write: the stream writer of the graph.
        holds_hand_over: keep a hand-over, and what follows it, until `release`.
        holds_all: keep every event until `release`.
    """

    run_inline = True  # in the order and the context of the run, also where the chain runs on an event loop

    def __init__(self, write: Callable[[Any], None], *, holds_hand_over: bool = False, holds_all: bool = False) -> None:
        self._write = write
        self._holds_hand_over = holds_hand_over
        self._holding = holds_all
        self._held: list[ServiceEvent] = []

    def listen(self, config: RunnableConfig) -> RunnableConfig:
        """Return `config` with this relay among its callbacks."""
        return merge_configs(config, {"callbacks": [self]})

    def release(self) -> None:
        """Pass on what was held; from now on nothing is."""
        self._holding, self._holds_hand_over = False, False
        for event in self._held:
            self._write(event)
        self._held = []

    @override
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        if name != EVENT_NAME:
            return
        event = cast("ServiceEvent", data)
        self._holding |= self._holds_hand_over and event.get("route") == "handover"
        if self._holding:
            self._held.append(event)
        else:
            self._write(event)
