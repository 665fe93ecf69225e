"""Customers who write over HTTP, and a comparison of what was acknowledged to them with what is stored."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.serving.client import NO_REPLY, NOT_CONNECTED, Reply, ask

__all__ = ["QUESTIONS", "Customer", "compare", "count_faults"]

QUESTIONS = ("where is my parcel", "my money back", "i lost the card", "How full should the battery be?", "a cable")
_MESSAGES = 30  # of one conversation; then another one is begun


class Customer:
    """Sends one message after the other, each until it is acknowledged, and notes the acknowledgements.

    Args:
        name: decides, with the seed, what is sent.
        seed: of the run.

    Attributes:
        acknowledged: conversation -> message -> the text of its reply.
        outcomes: how often a status, or an end without one, came.
    """

    def __init__(self, name: int, *, seed: int) -> None:
        self._random = random.Random(f"{seed}:{name}")
        self._conversation, self._number = "", _MESSAGES
        self._unfinished: str | None = None
        self.acknowledged: dict[str, dict[str, str]] = {}
        self.outcomes: Counter[int] = Counter()

    async def write(self, port: int, *, stream: bool = False, **reading: Any) -> Reply:
        """Send the message that is not acknowledged yet, or else a new one."""
        message = self._unfinished = self._unfinished or self._next()
        text = f"{QUESTIONS[int(message[1:]) % len(QUESTIONS)]} {message[1:]}"  # the same whenever it is sent
        path = f"/v1/conversations/{self._conversation}/messages{'/stream' if stream else ''}"
        reply = await ask(port, "POST", path, {"message_id": message, "text": text}, **reading)
        self.note(reply)
        answer = None
        if reply.status == 200:
            answer = reply.event("reply") if stream else reply.json()
        if answer is not None:
            self.acknowledged[self._conversation][message] = answer["text"]
            self._unfinished = None
        return reply

    def note(self, reply: Reply) -> None:
        """Count how a request ended."""
        self.outcomes[reply.status] += 1

    async def back_off(self, reply: Reply) -> None:
        """Wait as a refused client is asked to."""
        if reply.status in (429, 503):
            await asyncio.sleep(reply.wait_s * self._random.uniform(0.5, 1.0))
        elif reply.status == NOT_CONNECTED:
            await asyncio.sleep(0.05)

    def choose(self, **weights: float) -> str:
        """Return one of the names, as often as its weight says."""
        return self._random.choices(list(weights), list(weights.values()))[0]

    def seconds(self, low: float, high: float) -> float:
        """Return a random time between two."""
        return self._random.uniform(low, high)

    def _next(self) -> str:
        if self._number >= _MESSAGES:
            self._conversation, self._number = str(uuid.UUID(int=self._random.getrandbits(128), version=4)), 0
            self.acknowledged[self._conversation] = {}
        self._number += 1
        return f"m{self._number}"


async def compare(port: int, customers: Sequence[Customer]) -> Counter[str]:
    """Return what of the acknowledged messages is lost, changed or doubled on the server."""
    counts: Counter[str] = Counter()
    for customer in customers:
        for conversation, acknowledged in customer.acknowledged.items():
            reply = await ask(port, "GET", f"/v1/conversations/{conversation}?limit=200")
            turns = reply.json()["turns"] if reply.status == 200 else []
            counts += count_faults(acknowledged, turns)
    return counts


def count_faults(acknowledged: dict[str, str], turns: Sequence[dict[str, Any]]) -> Counter[str]:
    """Return how many acknowledged messages a conversation lost, changed or doubled.

    Args:
        acknowledged: message -> the text of its reply, which is empty while a person is awaited.
        turns: of the conversation, as the server shows them.

    Example:
        >>> count_faults({"m1": "Yes."}, [{"id": "m1", "text": "a"}, {"id": "m1", "text": "a"}])
        Counter({'acknowledged': 1, 'lost': 1, 'doubled': 1})
    """
    counts = Counter({"acknowledged": len(acknowledged), "lost": 0, "changed": 0, "doubled": 0})
    stored = {turn["id"]: turn["text"] for turn in turns}
    for message, text in acknowledged.items():
        answer = stored.get(f"{message}.reply", "" if not text else None)
        counts["lost"] += message not in stored or answer is None
        counts["changed"] += answer is not None and answer != text
    asked = [turn["text"] for turn in turns if turn.get("speaker") == "customer"]
    counts["doubled"] += max(len(turns) - len(stored), len(asked) - len(set(asked)))
    return +counts


def failures(customers: Sequence[Customer]) -> Counter[int]:
    """Return the statuses from 500 on, and ends without any reply."""
    outcomes = sum((customer.outcomes for customer in customers), Counter[int]())
    return Counter({status: n for status, n in outcomes.items() if status >= 500 or status == NO_REPLY})
