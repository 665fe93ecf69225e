"""`Conversations`: exactly-once, in-order messages for many owners, over the conversation graph."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from chains.customer_service.conversation import ConversationGraph
from chains.customer_service.decisions import DecisionSink, describe_decision, log_decision
from chains.customer_service.delivery import Delivery
from chains.customer_service.fair_lock import TicketLocks
from chains.customer_service.listing import ConversationLists, Page, PageRequest
from chains.customer_service.messages import (
    ConversationKey,
    ConversationOverview,
    HandOver,
    Message,
    Turn,
    WaitingConversation,
    now,
)
from chains.customer_service.schema import ServiceEvent, ServiceReply
from chains.customer_service.transcript import Entry, LatestTurns, Transcripts
from chains.errors import (
    ChainInputError,
    ConversationStorageError,
    MessageIdError,
    UnknownConversationError,
)
from llms.errors import EngineBusyError
from llms.texts import check_text

_log = logging.getLogger(__name__)

_MAX_ID_CHARS = 200
Step = ServiceEvent | Entry  # what a running message gives: events, and its entry in the end


class Conversations:
    """Conversations of many owners with the graph of `build_service_conversation`.

    A message that was answered is on the disk. The same id again gets the same reply and adds nothing, also after a
    crash in the middle: then the unfinished message is finished, not begun anew.

    Args:
        graph: with a checkpointer and a store.
        max_message_chars: of one message; the chain's own limit should not be lower.
        record_decision: gets one record per message, as `describe_decision` makes it; never for a repeated one.
        decisions_with_text: whether the records hold what was written.
        shared_lock: makes a lock that other processes see, from the name of a conversation; needed where several
            processes share a database.
        lists: the order of the lists in the store's database; without them each page reads all conversations.
        storage_errors: what the database raises; callers get a ConversationStorageError.

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
        record_decision: DecisionSink = log_decision,
        decisions_with_text: bool = False,
        shared_lock: Callable[[str], AbstractContextManager[Any]] = nullcontext,
        lists: ConversationLists | None = None,
        storage_errors: tuple[type[Exception], ...] = (),
    ) -> None:
        if graph.store is None:
            msg = "the graph needs a store; build it with build_service_conversation"
            raise ChainInputError(msg)
        self._transcripts = Transcripts(graph.store, lists)
        self._delivery = Delivery(graph, self._transcripts, passing_errors=(EngineBusyError, *storage_errors))
        self._max_message_chars = max_message_chars
        self._record_decision = record_decision
        self._decisions_with_text = decisions_with_text
        self._shared_lock = shared_lock
        self._storage_errors = storage_errors
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
            ConversationStorageError: if it cannot be stored; any method may raise it.
        """
        for step in self.stream(owner=owner, conversation=conversation, message_id=message_id, text=text):
            if isinstance(step, ServiceReply):
                return step
        raise AssertionError  # a stream ends with its reply

    def stream(
        self,
        *,
        owner: str,
        conversation: str,
        message_id: str,
        text: str,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Iterator[ServiceEvent | ServiceReply]:
        """Yield what happens while the reply is made, then the reply; errors as `send`.

        A stream that is left early leaves its message unfinished; sent again, or with the next one, it is finished.
        Leaving it waits for the chain; `is_wanted`, asked at every event and token, breaks the chain off.

        Raises:
            ReplyAbandonedError: once `is_wanted` has returned False.
        """
        key, message = self._customer_message(owner, conversation, message_id, text)
        return (_without_entry(step) for step in self._handle_in_turn(key, message, is_wanted=is_wanted))

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
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[Step | BaseException] = asyncio.Queue()
        ticket = self._locks.draw(key)

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

        try:
            await asyncio.shield(asyncio.wrap_future(ticket.called))
            loop.run_in_executor(None, work)  # a thread that waited for its ticket would take a worker from others
        except BaseException:
            ticket.release()
            raise
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

    def waiting(self, owner: str | None) -> list[WaitingConversation]:
        """Return the conversations in which a person is awaited, the longest waiting first; with None of all owners."""
        with self._storage():
            return self._transcripts.waiting(_checked_owner(owner))

    def waiting_page(self, owner: str | None, request: PageRequest) -> Page[WaitingConversation]:
        """Return some of `waiting`, at a cost that does not grow with their number.

        Raises:
            ChainInputError: if `request.after` is none that a page gave.
        """
        with self._storage():
            return self._transcripts.page_of_waiting(_checked_owner(owner), request)

    def hand_over(self, owner: str, conversation: str) -> HandOver | None:
        """Return why a person is awaited in a conversation, or None where none is."""
        key = _checked_key(owner, conversation)
        with self._storage():
            return self._transcripts.hand_over(key)

    # --- reading and deleting

    def turns(self, owner: str, conversation: str) -> list[Turn]:
        """Return everything that was said, oldest first.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
        """
        key = _checked_key(owner, conversation)
        with self._storage():
            self._require(key)
            return self._transcripts.turns(key)

    def latest_turns(self, owner: str, conversation: str, *, limit: int, skip: int = 0) -> LatestTurns:
        """Return some of the latest of `turns`, oldest first, and how many there are; `skip` leaves out the last ones.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
        """
        key = _checked_key(owner, conversation)
        with self._storage():
            self._require(key)
            return self._transcripts.latest_turns(key, limit=limit, skip=skip)

    def list(self, owner: str | None) -> list[ConversationOverview]:
        """Return the conversations of an owner, the latest first; with None of all owners."""
        with self._storage():
            return self._transcripts.overviews(_checked_owner(owner))

    def list_page(self, owner: str | None, request: PageRequest) -> Page[ConversationOverview]:
        """Return some of `list`, at a cost that does not grow with their number.

        Raises:
            ChainInputError: if `request.after` is none that a page gave.
        """
        with self._storage():
            return self._transcripts.page_of_overviews(_checked_owner(owner), request)

    def delete(self, owner: str, conversation: str) -> None:
        """Delete a conversation with all that was said; after a crash in the middle call it again.

        Raises:
            UnknownConversationError: if the owner has no such conversation.
        """
        key = _checked_key(owner, conversation)
        with self._locks.draw(key), self._storage(), self._shared_lock(key.thread_id):
            if not self._delivery.has_begun(key):  # this is deleted last
                self._require(key)
            self._transcripts.delete(key)
            self._delivery.forget(key)

    # --- one message

    def _handle_in_turn(
        self, key: ConversationKey, message: Message, *, is_wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[Step]:
        with self._locks.draw(key):
            yield from self._handle(key, message, is_wanted=is_wanted)

    def _handle(
        self, key: ConversationKey, message: Message, *, is_wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[Step]:
        with self._storage(), self._shared_lock(key.thread_id):
            entry = self._transcripts.find(key, message)
            if entry is None:
                entry = yield from self._delivery.deliver(key, message, is_wanted=is_wanted)
                self._tell_decision(key, message, entry)
        _refuse_other_text(message, entry)
        yield entry

    def _tell_decision(self, key: ConversationKey, message: Message, entry: Entry) -> None:
        try:
            self._record_decision(describe_decision(key, message, entry, with_text=self._decisions_with_text))
        except Exception:  # the reply is on the disk already; it must reach the customer
            _log.exception("the decision about message %s could not be passed on", message.id)

    def _handle_as_staff(self, owner: str, conversation: str, message_id: str, text: str, *, close: bool) -> None:
        key = _checked_key(owner, conversation)
        message_id = _checked_id(message_id, "message_id")
        with self._storage():
            self._require(key)
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

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except self._storage_errors as error:
            msg = (
                f"the storage of conversations cannot be used: {error}; check the disk or the database, then try again"
            )
            raise ConversationStorageError(msg) from error

    def _require(self, key: ConversationKey) -> None:
        if not self._transcripts.is_known(key):
            msg = f"there is no conversation {key.conversation!r}; `list` returns those there are"
            raise UnknownConversationError(msg)


def _checked_key(owner: str, conversation: str) -> ConversationKey:
    return ConversationKey(owner=_checked_id(owner, "owner"), conversation=_checked_id(conversation, "conversation"))


def _checked_owner(owner: str | None) -> str | None:
    return owner if owner is None else _checked_id(owner, "owner")


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
