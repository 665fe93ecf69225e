"""Kills, two messages at once, a full disk and growth against `Conversations` in one SQLite file, counted.

Every round runs in a process forked from this one, which itself never answers: what is killed leaves nothing behind.
"""

import asyncio
import dataclasses
import json
import operator
import os
import random
import resource
import signal
import sqlite3
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from apps.conversation_storage import open_sqlite
from chains.customer_service import Conversations, ServiceReply, ServiceRequest, Turn, build_service_conversation
from chains.errors import ConversationStorageError
from tests.reliability.processes import in_child

OWNER = "shop"
NUM_CONVERSATIONS = 3
STEPS = (10, 100, 500)  # messages after which the growth is noted


# --- kills


@dataclasses.dataclass
class KillReport:
    """What was counted."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    finished_later: int = 0
    slowest_reopening_s: float = 0.0


def run_kills(folder: Path, *, count: int, seed: int) -> KillReport:
    """Kill a server of conversations `count` times, and compare what is there with what it acknowledged."""
    folder.mkdir(parents=True)
    random_, report = random.Random(seed), KillReport()
    for number in range(count):
        path = folder / f"{number // 10}.sqlite"  # ten kills each, so that files are opened that were killed before
        begun = _killed_server(path, random_, seed=seed * 1_000_003 + number)
        found = in_child(lambda path=path, begun=begun: _compare(path, begun))
        report.kills += 1
        report.acknowledged += sum("reply" in message for message in begun)
        report.slowest_reopening_s = max(report.slowest_reopening_s, found.pop("seconds"))
        for name, value in found.items():
            setattr(report, name, getattr(report, name) + value)
    return report


def _killed_server(path: Path, random_: random.Random, *, seed: int) -> list[dict[str, Any]]:
    """Return the messages a server began until it was killed; those it acknowledged have a reply."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _serve_for_ever(path, writing, random.Random(seed))
        finally:
            os._exit(1)
    os.close(writing)
    lines = os.fdopen(reading, "rb")
    first = [lines.readline() for _ in range(random_.randint(1, 40))]  # however slow the machine, it has begun
    time.sleep(random_.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told = [json.loads(line) for line in [*first, *lines] if line.endswith(b"\n")]
    lines.close()
    begun: list[dict[str, Any]] = []
    for message in told:
        if "done" in message:
            begun[-1]["reply"] = message["done"]
        else:
            begun.append(message)
    return begun


def _serve_for_ever(path: Path, out: int, random_: random.Random) -> None:
    with _open(path) as conversations:
        prefix = f"{random_.getrandbits(40):x}"
        for number in range(10**9):
            conversation = f"c{random_.randrange(NUM_CONVERSATIONS)}"
            waits = any(waiting.conversation == conversation for waiting in conversations.waiting(OWNER))
            kinds = ["staff", "close", "message"] if waits else ["message", "message", "person"]
            message = {"conversation": conversation, "kind": random_.choice(kinds), "id": f"{prefix}-{number}"}
            os.write(out, json.dumps(message).encode() + b"\n")
            os.write(out, json.dumps({"done": _send(conversations, message)}).encode() + b"\n")


def _send(conversations: Conversations, message: dict[str, Any]) -> str:
    address = {"owner": OWNER, "conversation": message["conversation"], "message_id": message["id"]}
    if message["kind"] == "close":
        conversations.close(**address)
        return ""
    text = f"{message['kind']} {message['id']}"
    if message["kind"] == "staff":
        conversations.answer_as_staff(**address, text=text)
        return ""
    return conversations.send(**address, text=text).text


def _compare(path: Path, begun: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"lost": 0, "doubled": 0, "out_of_order": 0, "finished_later": 0}
    seconds = _timed(lambda: _open_once(path))
    with _open(path) as conversations:
        before = {turn.id for turn in _all_turns(conversations)}
        for message in begun:
            if "reply" in message:
                found["lost"] += _is_lost(message, before)
                found["lost"] += _send(conversations, message) != message["reply"]
            else:
                _send(conversations, message)
                found["finished_later"] += 1
        turns = _all_turns(conversations)
    counts = Counter(turn.id for turn in turns)
    found["doubled"] = sum(count - 1 for count in counts.values())
    found["lost"] += sum(counts[message["id"]] != 1 for message in begun if message["kind"] != "close")
    found["out_of_order"] = int(not _is_in_order(turns, begun))
    return found | {"seconds": seconds}


def _is_lost(message: dict[str, Any], before: set[str]) -> bool:
    ids = [message["id"]] if message["kind"] != "close" else []
    return not before.issuperset(ids + ([f"{message['id']}/reply"] if message["reply"] else []))


def _is_in_order(turns: list[Turn], begun: list[dict[str, Any]]) -> bool:
    """Return whether messages stand in the order of sending, and each reply right after its message."""
    positions = {turn.id: position for position, turn in enumerate(turns)}
    if any(
        turn.id.endswith("/reply") and positions[turn.id.removesuffix("/reply")] + 1 != position
        for position, turn in enumerate(turns)
    ):
        return False
    for conversation in {message["conversation"] for message in begun}:
        sent = [message["id"] for message in begun if message["conversation"] == conversation]
        found = [positions[id_] for id_ in sent if id_ in positions]
        if found != sorted(found):
            return False
    return True


def _all_turns(conversations: Conversations) -> list[Turn]:
    names = sorted(overview.conversation for overview in conversations.list(OWNER))
    return [turn for name in names for turn in conversations.turns(OWNER, name)]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _open_once(path: Path) -> None:
    with _open(path) as conversations:
        conversations.list(OWNER)


# --- two at once


@dataclasses.dataclass
class PairReport:
    """What was counted; `swapped` is None where nobody can tell which call came first."""

    sent_by: str
    pairs: int
    lost: int
    interleaved: int
    swapped: int | None


def run_pairs(folder: Path, *, count: int) -> list[PairReport]:
    """Send two messages to one conversation at once, `count` times: half from threads, half from an event loop."""
    folder.mkdir(parents=True)
    half = count // 2
    from_threads = in_child(lambda: _send_pairs(folder / "threads.sqlite", half, _from_threads))
    from_loop = in_child(lambda: _send_pairs(folder / "loop.sqlite", count - half, _from_loop))
    from_threads["swapped"] = None
    return [PairReport("two threads", **from_threads), PairReport("one event loop", **from_loop)]


def _send_pairs(path: Path, count: int, send: Callable[[Conversations, str, list[str]], None]) -> dict[str, Any]:
    found = {"pairs": count, "lost": 0, "interleaved": 0, "swapped": 0}
    with _open(path) as conversations:
        for number in range(count):
            conversation, ids = f"c{number // 10}", [f"{number}a", f"{number}b"]
            send(conversations, conversation, ids)
            last = [turn.id for turn in conversations.turns(OWNER, conversation)[-4:]]
            orders = [[name for id_ in order for name in (id_, f"{id_}/reply")] for order in (ids, ids[::-1])]
            found["lost"] += len(set(orders[0]) - set(last))
            found["interleaved"] += last not in orders
            found["swapped"] += last == orders[1]
    return found


def _from_threads(conversations: Conversations, conversation: str, ids: list[str]) -> None:
    def work(id_: str) -> None:
        conversations.send(owner=OWNER, conversation=conversation, message_id=id_, text=f"message {id_}")

    threads = [threading.Thread(target=work, args=(id_,)) for id_ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _from_loop(conversations: Conversations, conversation: str, ids: list[str]) -> None:
    async def work() -> None:
        await asyncio.gather(
            *(
                conversations.asend(owner=OWNER, conversation=conversation, message_id=id_, text=f"message {id_}")
                for id_ in ids
            )
        )

    asyncio.run(work())


# --- a full disk


def run_full_disk(folder: Path, *, num_limits: int = 20) -> Counter[str]:
    """Let writes fail at many places by a ceiling of file size, and count what became of the messages."""
    folder.mkdir(parents=True)
    counts: Counter[str] = Counter()
    for number in range(num_limits):
        path, limit = folder / f"{number}.sqlite", 120_000 + 7_919 * number
        counts.update(in_child(lambda path=path, limit=limit: _fill_disk(path, limit)))
    return counts


def _fill_disk(path: Path, limit: int) -> dict[str, int]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ids, replies = [str(number) for number in range(30)], {}
    address = {"owner": OWNER, "conversation": "c"}
    with _open(path) as conversations:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        counts = {"refused": 0}
        for id_ in ids:
            try:
                replies[id_] = conversations.send(**address, message_id=id_, text=f"message {id_}")
            except ConversationStorageError:
                counts["refused"] += 1
                counts["unreadable"] = counts.get("unreadable", 0) + (len(_all_turns(conversations)) < 2 * len(replies))
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                replies[id_] = conversations.send(**address, message_id=id_, text=f"message {id_}")
    with _open(path) as conversations:
        turns = conversations.turns(OWNER, "c")
        said = [turn.text for turn in turns if turn.speaker == "assistant"]
    expected = [replies[id_].text for id_ in ids]
    return counts | {"lost": len(set(expected) - set(said)), "doubled": len(said) - len(set(said))}


# --- growth


@dataclasses.dataclass
class Size:
    """What the latest messages took, and what all take."""

    milliseconds: float  # median of the last ten messages
    kilobytes: float


class UsualState(TypedDict):
    """The state of most examples: all that was said."""

    turns: Annotated[list[dict[str, Any]], operator.add]


def run_growth(folder: Path, *, num_messages: int) -> dict[int, tuple[Size, Size]]:
    """Return time and size after some numbers of messages: of `Conversations`, and of the usual graph."""
    folder.mkdir(parents=True)
    ours = in_child(lambda: _grow(folder / "ours.sqlite", num_messages, _our_sender))
    usual = in_child(lambda: _grow(folder / "usual.sqlite", num_messages, _usual_sender))
    return {int(number): (Size(**ours[number]), Size(**usual[number])) for number in ours}


def _grow(path: Path, num_messages: int, open_sender: Callable[[Path], Any]) -> dict[str, dict[str, float]]:
    sizes, seconds = {}, []
    with open_sender(path) as send:
        for number in range(1, num_messages + 1):
            text = f"message {number}: my parcel did not come yesterday, and nobody has told me when it will"
            seconds.append(_timed(lambda number=number, text=text: send(str(number), text)))
            if number in STEPS:
                sizes[str(number)] = {
                    "milliseconds": 1_000 * statistics.median(seconds[-10:]),
                    "kilobytes": _bytes_in_use(path) / 1_000,
                }
    return sizes


def _bytes_in_use(path: Path) -> int:
    """Return what the pages in use take, wherever they stand: the write-ahead log has a size of its own."""
    with closing(sqlite3.connect(path)) as connection:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return (pages - free) * size


@contextmanager
def _our_sender(path: Path) -> Iterator[Callable[[str, str], object]]:
    with _open(path) as conversations:
        yield lambda id_, text: conversations.send(owner=OWNER, conversation="c", message_id=id_, text=text)


@contextmanager
def _usual_sender(path: Path) -> Iterator[Callable[[str, str], object]]:
    def answer(state: UsualState) -> dict[str, Any]:
        reply = _answer(ServiceRequest(text=state["turns"][-1]["text"]))
        return {"turns": [{"speaker": "assistant", "reply": reply.model_dump(mode="json")}]}

    graph = StateGraph(UsualState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    with SqliteSaver.from_conn_string(str(path)) as checkpointer:
        checkpointer.setup()
        checkpointer.conn.execute("PRAGMA synchronous = FULL")
        compiled = graph.compile(checkpointer=checkpointer)

        def send(id_: str, text: str) -> None:
            turn = {"speaker": "customer", "id": id_, "text": text}
            config = {"configurable": {"thread_id": "c"}}
            compiled.invoke({"turns": [turn]}, config, durability="sync")  # type: ignore[call-overload]

        yield send


# --- processes


def _answer(request: ServiceRequest) -> ServiceReply:
    route = "handover" if "person" in request.text else "answer"
    return ServiceReply(text=f"reply {os.urandom(8).hex()} to {request.text}", route=route, reason="always")


@contextmanager
def _open(path: Path) -> Iterator[Conversations]:
    with open_sqlite(path) as storage:
        graph = build_service_conversation(
            RunnableLambda(_answer), checkpointer=storage.checkpointer, store=storage.store
        )
        yield Conversations(graph, storage_errors=storage.errors)
