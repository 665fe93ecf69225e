"""Exactly-once delivery of one message to the graph, also after a crash in the one before it."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.types import Command

from chains.customer_service.conversation import ConversationGraph, ConversationState, handed_over
from chains.customer_service.events import BreakOff
from chains.customer_service.messages import ConversationKey, Message
from chains.customer_service.schema import ServiceEvent
from chains.customer_service.transcript import Entry, Transcripts
from chains.errors import ChainInputError, NoPersonAwaitedError, ReplyAbandonedError

_log = logging.getLogger(__name__)

_FAILING_STEPS = ("understand", "answer")  # a model may fail at the same message for ever


class Delivery:
    """Runs the graph for one message of a conversation at a time; who calls it holds the conversation's lock.

    Args:
        graph: of `build_service_conversation`.
        transcripts: where the graph records what was said.
        passing_errors: those that say nothing about the message, such as a busy model or a full disk.

    Raises:
        ChainInputError: if the graph has no checkpointer.
    """

    def __init__(
        self, graph: ConversationGraph, transcripts: Transcripts, *, passing_errors: tuple[type[Exception], ...]
    ) -> None:
        if graph.checkpointer is None or isinstance(graph.checkpointer, bool):
            msg = "the graph needs a checkpointer; build it with build_service_conversation"
            raise ChainInputError(msg)
        self._graph = graph
        self._checkpointer = graph.checkpointer
        self._transcripts = transcripts
        self._passing_errors: tuple[type[Exception], ...] = (ReplyAbandonedError, *passing_errors)

    def deliver(
        self, key: ConversationKey, message: Message, *, is_wanted: Callable[[], bool]
    ) -> Generator[ServiceEvent, None, Entry]:
        """Yield the chain's events and return the entry of a message that has none yet.

        Most often that is one run of the graph. After a crash there is one more before it, which finishes what was
        begun; that may have been this very message. Once `is_wanted` returns False the run is broken off.
        """
        while (entry := self._transcripts.find(key, message)) is None:
            yield from self._run(key, message, BreakOff(is_wanted))
        # each step left a checkpoint, of which only the last is needed; LangGraph's own for SQLite and for memory
        # cannot prune and keep them all
        with suppress(NotImplementedError):
            self._checkpointer.prune([key.thread_id], strategy="keep_latest")
        return entry

    def has_begun(self, key: ConversationKey) -> bool:
        """Return whether the graph knows the conversation."""
        return bool(self._graph.get_state(_config(key)).values)

    def forget(self, key: ConversationKey) -> None:
        """Delete what the graph knows of a conversation."""
        self._checkpointer.delete_thread(key.thread_id)

    def _run(self, key: ConversationKey, message: Message, break_off: BreakOff) -> Iterator[ServiceEvent]:
        snapshot = self._graph.get_state(_config(key))
        update: ConversationState | Command[Any] | None = {"message": message.model_dump(mode="json")}
        if snapshot.interrupts:
            update = Command(resume={snapshot.interrupts[0].id: message.model_dump(mode="json")})
        elif snapshot.tasks:  # not `next`, which leaves out a step that ended but was not taken into the state
            update = None  # what was begun goes on
        elif message.sender == "staff":
            msg = f"no person is awaited in conversation {key.conversation!r}; the assistant answers it"
            raise NoPersonAwaitedError(msg)
        is_told = update is not None or snapshot.values.get("message", {}).get("id") == message.id
        try:
            config = merge_configs(_config(key), {"callbacks": [break_off]})
            for event in self._graph.stream(update, config, context=key, stream_mode="custom", durability="sync"):
                if is_told:  # else they belong to the reply to an older message
                    yield cast("ServiceEvent", event)
        except self._passing_errors:
            raise
        except Exception as error:
            if update is not None or not self._give_up(key, message, error):
                raise

    def _give_up(self, key: ConversationKey, message: Message, error: Exception) -> bool:
        """Hand an older message over that failed again, so that it does not stand in the way of all later ones."""
        snapshot = self._graph.get_state(_config(key))
        stuck: dict[str, Any] = snapshot.values.get("message", {})
        is_older = stuck.get("id", message.id) != message.id
        if not is_older or snapshot.tasks[0].name not in _FAILING_STEPS:
            return False
        _log.error("message %s failed again, a person takes over", stuck["id"], exc_info=error)
        state = cast("ConversationState", snapshot.values)
        changes = handed_over(f"the assistant failed with {type(error).__name__}", state)
        self._graph.update_state(_config(key), changes, as_node="answer")
        return True


def _config(key: ConversationKey) -> RunnableConfig:
    return {"configurable": {"thread_id": key.thread_id, "owner": key.owner}}
