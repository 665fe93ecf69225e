"""Crashes at every single write: what was acknowledged stays, what was begun is finished once."""

import itertools

from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from typing_extensions import override

from chains.customer_service import Conversations, build_service_conversation
from tests.chains.customer_service.talks import ShopChain

SENT = [
    ("message", "m1", "Where is my parcel?"),
    ("message", "m2", "1048"),
    ("message", "m3", "Do you like poems?"),
    ("message", "m4", "Is anybody there?"),
    ("staff", "s1", "I do like them."),
    ("close", "s2", ""),
    ("message", "m5", "How long is the warranty of phones?"),
    ("message", "m6", "and for tablets?"),
]


class CrashError(BaseException):
    """The end of the process, as far as a test can have it."""


class Disk:
    """Counts writes; the one numbered `crash_at` and all that come after it do not happen, as after a kill."""

    def __init__(self, crash_at):
        self.crash_at, self.num_writes = crash_at, 0

    def write(self):
        self.num_writes += 1
        if self.crash_at is not None and self.num_writes >= self.crash_at:
            raise CrashError


class CrashingSaver(InMemorySaver):
    disk = Disk(None)

    @override
    def put(self, *args, **options):
        self.disk.write()
        return super().put(*args, **options)

    @override
    def put_writes(self, *args, **options):
        self.disk.write()
        return super().put_writes(*args, **options)


class CrashingStore(InMemoryStore):
    disk = Disk(None)

    @override
    def batch(self, ops):
        ops = list(ops)
        if any(isinstance(op, PutOp) for op in ops):
            self.disk.write()
        return super().batch(ops)


def open_kept(saver, store):
    graph = build_service_conversation(RunnableLambda(ShopChain().reply), checkpointer=saver, store=store)
    return Conversations(graph)


def send_all(conversations, replies):
    """Send every message from the first on, as clients do that got no reply; those replied to keep their replies."""
    for kind, message_id, text in SENT:
        place = {"owner": "shop", "conversation": "c1", "message_id": message_id}
        reply = None
        if kind == "message":
            reply = conversations.send(**place, text=text)
        elif kind == "staff":
            conversations.answer_as_staff(**place, text=text)
        else:
            conversations.close(**place)
        assert replies.setdefault(message_id, reply) == reply


def crash_everywhere():
    """Yield conversations that were opened again after a crash, and what had been replied, for every write."""
    for crash_at in itertools.count(1):
        saver, store, replies = CrashingSaver(), CrashingStore(), {}
        saver.disk = store.disk = Disk(crash_at)
        try:
            send_all(open_kept(saver, store), replies)
        except CrashError:
            saver.disk = store.disk = Disk(None)
            yield open_kept(saver, store), replies
        else:
            assert crash_at > 50
            return


def said(conversations):
    return [(turn.id, turn.text) for turn in conversations.turns("shop", "c1")]


def test_a_crash_at_any_write_loses_and_doubles_nothing():
    unbroken = open_kept(CrashingSaver(), CrashingStore())
    send_all(unbroken, {})
    assert len(said(unbroken)) == 12
    for conversations, replies in crash_everywhere():
        send_all(conversations, replies)
        assert said(conversations) == said(unbroken)


def test_a_message_that_a_crash_cut_off_stands_before_the_next_or_nowhere():
    """Here its client never comes back; another message is the first after the crash."""
    for conversations, replies in crash_everywhere():
        conversations.send(owner="shop", conversation="c1", message_id="after", text="warranty phones")
        ids = [id_ for id_, _ in said(conversations) if not id_.endswith("/reply")]
        acknowledged = [id_ for id_ in replies if id_ != "s2"]
        assert ids[: len(acknowledged)] == acknowledged
        assert ids[-1] == "after"
        assert len(ids) - len(acknowledged) in (1, 2)
