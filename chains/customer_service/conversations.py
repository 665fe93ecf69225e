"""The front door of conversations: one message after the other, each exactly once, each owner by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from chains.customer_service.conversation import ConversationGraph, ConversationState, handed_over
from chains.customer_service.decisions import DecisionSink, describe_decision, log_decision
from chains.customer_service.schema import ServiceEvent, ServiceReply
from chains.customer_service.tickets import TicketLocks
from chains.customer_service.transcript import Entry, Transcripts
from chains.customer_service.turns import (
    ConversationKey,
    ConversationOverview,
    Message,
    Turn,
    WaitingConversation,
    now,
)
from chains.errors import ChainInputError, MessageIdError, NoPersonAwaitedError, UnknownConversationError
from llms.errors import EngineBusyError
from llms.texts import check_text

__all__ = ["Conversations"]

_log = logging.getLogger(__name__)

_MAX_ID_CHARS = 200
_FAILING_STEPS = ("understand", "answer")  # a model may fail at the same message for ever
Step = ServiceEvent | Entry  # what a running message gives: events, and its entry in the end


class Conversations:
    """Conversations of many owners with the graph of `build_service_conversation`.

    A message that was answered is on the disk. The same id again gets the same reply and adds nothing, also after a
    crash in the middle: then the unfinished message is finished, not begun anew.

    Args:
        graph: with a checkpointer and a store.
        max_message_chars: of one message; the chain's own limit should not be lower.
        decide: gets one record per message, as `describe_decision` makes it; never for a repeated one.
        decisions_with_text: whether the records hold what was written.
        shared_lock: makes a lock that other processes see, from the name of a conversation; needed where several
            processes share a database.

    Example:
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langgraph.checkpoint.memory import InMemorySaver
        >>> from langgraph.store.memory import InMemoryStore
        >>> from chains.customer_service.conversation import build_service_conversation
        >>> chain = RunnableLambda(lambda request: ServiceReply(text="Five days.", route="template", reason="sure"))
        >>> graph = build_service_conversation(chain, checkpointer=InMemorySaver(), store=InMemoryStore())
        >>> conversations = Conversations(graph)
        >>> conversations.send(owner="shop", conversation="c1", message_id="m1", text="How long is delivery?").text
        'Five days.'
        >>> [turn.speaker for turn in conversations.turns("shop", "c1")]
        ['customer', 'assistant']
    """

    def __init__(
        self,
        graph: ConversationGraph,
        *,
        max_message_chars: int = 4_000,
        decide: DecisionSink = log_decision,
        decisions_with_text: bool = False,
        shared_lock: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        if not graph.checkpointer or isinstance(graph.checkpointer, bool) or graph.store is None:
            msg = "the graph needs a checkpointer and a store; build it with build_service_conversation"
            raise ChainInputError(msg)
        self._graph = graph
        self._checkpointer = graph.checkpointer
        self._transcripts = Transcripts(graph.store)
        self._max_message_chars = max_message_chars
        self._decide = decide
        self._decisions_with_text = decisions_with_text
        self._shared_lock = shared_lock
        self._locks = TicketLocks()

    # --- customers

    def send(self, *, owner: str, conversation: str, message_id: str, text: str) -> ServiceReply:
        """Return the reply to a customer's message, once both are on the disk.

        While a person is awaited the reply has no text, the route is `handover`, and the message waits with the rest.

        Raises:
            ChainInputError: if an id or the text is empty, or an id is too long.
            InputTextError: if the text is too long, or holds NUL or a lone surrogate.
            MessageIdError: if the id belongs to another text.
            ConversationBusyError: if too many messages of this conversation wait already.
        """
        for step in self.stream(owner=owner, conversation=conversation, message_id=message_id, text=text):
            if isinstance(step, ServiceReply):
                return step
        raise AssertionError  # a stream ends with its reply

    def stream(
        self, *, owner: str, conversation: str, message_id: str, text: str
    ) -> Iterator[ServiceEvent | ServiceReply]:
        """Yield what happens while the reply is made, then the reply; errors as `send`.

        A stream that is left early leaves its message unfinished; sent again, or with the next one, it is finished.
        """
        key, message = self._customer_message(owner, conversation, message_id, text)
        return (_without_entry(step) for step in self._handle_in_turn(key, message))

    async def asend(self, *, owner: str, conversation: str, message_id: str, text: str) -> ServiceReply:
        """Return what `send` does, from an event loop; messages keep the order of their calls."""
        async for step in self.astream(owner=owner, conversation=conversation, message_id=message_id, text=text):
            if isinstance(step, ServiceReply):
                return step
        raise AssertionError  # a stream ends with its reply

    async def astream(
        self, *, owner: str, conversation: str, message_id: str, text: str
    ) -> AsyncIterator[ServiceEvent | ServiceReply]:
        """Yield what `stream` does, from an event loop; once begun, a message is finished even if nobody listens."""
        key, message = self._customer_message(owner, conversation, message_id, text)
        ticket = self._locks.draw(key)
        try:
            await asyncio.shield(asyncio.wrap_future(ticket.called))
        except BaseException:
            ticket.release()
            raise
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[Step | BaseException] = asyncio.Queue()

        def tell(step: Step | BaseException) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(steps.put_nowait, step)

        def work() -> None:
            try:
                with ticket:
                    for step in self._handle(key, message):
                        tell(step)
            except BaseException as error:  # raised where it is waited for
                tell(error)

        loop.run_in_executor(None, work)
        while True:
            step = await steps.get()
            if isinstance(step, BaseException):
                raise step
            yield _without_entry(step)
            if isinstance(step, Entry):
                return

    # --- staff

    def answer_as_staff(
        self, *, owner: str, conversation: str, message_id: str, text: str, close: bool = False
    ) -> None:
        """Say something in a conversation that waits for a person; with `close` the assistant answers from then on.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
            NoPersonAwaitedError: if no person is awaited in it.
            ChainInputError: as `send`; InputTextError and MessageIdError, too.
        """
        self._handle_as_staff(owner, conversation, message_id, self._checked(text, "text"), close=close)

    def close(self, *, owner: str, conversation: str, message_id: str) -> None:
        """Let the assistant answer again, without a word to the customer; errors as `answer_as_staff`."""
        self._handle_as_staff(owner, conversation, message_id, "", close=True)

    def waiting(self, owner: str) -> list[WaitingConversation]:
        """Return the conversations in which a person is awaited, the longest waiting first."""
        return self._transcripts.waiting(_checked_id(owner, "owner"))

    # --- reading and deleting

    def turns(self, owner: str, conversation: str) -> list[Turn]:
        """Return everything that was said, oldest first.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
        """
        key = _checked_key(owner, conversation)
        self._require(key)
        return self._transcripts.turns(key)

    def list(self, owner: str) -> list[ConversationOverview]:
        """Return the conversations of an owner, the latest first."""
        return self._transcripts.overviews(_checked_id(owner, "owner"))

    def delete(self, owner: str, conversation: str) -> None:
        """Delete a conversation with all that was said; after a crash in the middle call it again.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
        """
        key = _checked_key(owner, conversation)
        with self._locks.draw(key), self._shared_lock(key.thread_id):
            if not self._graph.get_state(_config(key)).values:  # it is deleted last
                self._require(key)
            self._transcripts.delete(key)
            self._checkpointer.delete_thread(key.thread_id)

    # --- one message

    def _handle_in_turn(self, key: ConversationKey, message: Message) -> Iterator[Step]:
        with self._locks.draw(key):
            yield from self._handle(key, message)

    def _handle(self, key: ConversationKey, message: Message) -> Iterator[Step]:
        """Run the graph until the message is recorded; most often that is one run."""
        with self._shared_lock(key.thread_id):
            entry = self._transcripts.find(key, message)
            is_new = entry is None
            while entry is None:
                yield from self._run(key, message)
                entry = self._transcripts.find(key, message)
            _refuse_other_text(message, entry)
            if is_new:
                # each step left a checkpoint, of which only the last is needed; LangGraph's own for SQLite and for
                # memory cannot prune and keep them all
                with suppress(NotImplementedError):
                    self._checkpointer.prune([key.thread_id], strategy="keep_latest")
                self._tell_decision(key, message, entry)
        yield entry

    def _run(self, key: ConversationKey, message: Message) -> Iterator[ServiceEvent]:
        snapshot = self._graph.get_state(_config(key))
        update: ConversationState | Command[Any] | None = {"message": message.model_dump(mode="json")}
        if snapshot.interrupts:
            update = Command(resume={snapshot.interrupts[0].id: message.model_dump(mode="json")})
        elif snapshot.tasks:  # not `next`, which leaves out a step that ended but was not taken into the state
            update = None  # a message that was begun goes on; it may be this one
        elif message.sender == "staff":
            msg = f"no person is awaited in conversation {key.conversation!r}; the assistant answers it"
            raise NoPersonAwaitedError(msg)
        try:
            for event in self._graph.stream(update, _config(key), context=key, stream_mode="custom", durability="sync"):
                yield cast("ServiceEvent", event)
        except EngineBusyError:
            raise  # nothing is wrong with the message
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

    def _tell_decision(self, key: ConversationKey, message: Message, entry: Entry) -> None:
        try:
            self._decide(describe_decision(key, message, entry, with_text=self._decisions_with_text))
        except Exception:  # the reply is on the disk already; it must reach the customer
            _log.exception("the decision about message %s could not be passed on", message.id)

    def _handle_as_staff(self, owner: str, conversation: str, message_id: str, text: str, *, close: bool) -> None:
        key = _checked_key(owner, conversation)
        self._require(key)
        message_id = _checked_id(message_id, "message_id")
        message = Message(id=message_id, sender="staff", text=text, time=now(), closes=close)
        for _ in self._handle_in_turn(key, message):
            pass

    def _customer_message(
        self, owner: str, conversation: str, message_id: str, text: str
    ) -> tuple[ConversationKey, Message]:
        key = _checked_key(owner, conversation)
        message_id = _checked_id(message_id, "message_id")
        return key, Message(id=message_id, sender="customer", text=self._checked(text, "text"), time=now())

    def _checked(self, text: str, name: str) -> str:
        return _refuse_blank(check_text(text, max_chars=self._max_message_chars), name)

    def _require(self, key: ConversationKey) -> None:
        if not self._transcripts.is_known(key):
            msg = f"there is no conversation {key.conversation!r}; `list` returns those there are"
            raise UnknownConversationError(msg)


def _config(key: ConversationKey) -> RunnableConfig:
    return {"configurable": {"thread_id": key.thread_id}}


def _checked_key(owner: str, conversation: str) -> ConversationKey:
    return ConversationKey(owner=_checked_id(owner, "owner"), conversation=_checked_id(conversation, "conversation"))


def _checked_id(text: str, name: str) -> str:
    return _refuse_blank(check_text(text, max_chars=_MAX_ID_CHARS), name)


def _refuse_blank(text: str, name: str) -> str:
    if not text.strip():
        msg = f"{name} is empty; it needs a visible character"
        raise ChainInputError(msg)
    return text


def _refuse_other_text(message: Message, entry: Entry) -> None:
    said = next((turn.text for turn in entry.turns if turn.speaker == message.sender), "")
    if said != message.text:
        msg = f"the id {message.id!r} belongs to another message of this conversation; give each message its own id"
        raise MessageIdError(msg)


def _without_entry(step: Step) -> ServiceEvent | ServiceReply:
    if isinstance(step, Entry):
        if step.reply is None:
            raise AssertionError  # only staff gets no reply
        return step.reply
    return step
