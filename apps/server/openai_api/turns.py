"""Cache of slots and open questions by conversation text, for clients that send only texts."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from chains.customer_service import OpenQuestion, ServiceReply

_MAX_TURNS = 5_000
Line = tuple[str, str]  # role and text


@dataclass(frozen=True, slots=True)
class Turn:
    """What the next message needs: slots known so far, and what was asked back."""

    slots: dict[str, str] = field(default_factory=dict)
    open_question: OpenQuestion | None = None


class TurnMemory:
    """Remembers, for a while, what stood behind the last answer of a conversation, by the conversation's texts.

    OpenAI's clients send the whole conversation each time, but only its words. What is forgotten, after a restart or
    among very many conversations, costs a question asked twice and nothing else.

    Example:
        >>> memory = TurnMemory()
        >>> lines = [("user", "Where is it?"), ("assistant", "Which order?")]
        >>> reply = ServiceReply(text="Which order?", route="clarify", reason="", slots={"city": "Bonn"})
        >>> memory.keep("anna", lines, reply)
        >>> memory.find("anna", lines).slots, memory.find("berta", lines).slots
        ({'city': 'Bonn'}, {})
    """

    def __init__(self, *, max_turns: int = _MAX_TURNS) -> None:
        self._max_turns = max_turns
        self._turns: OrderedDict[str, Turn] = OrderedDict()

    def keep(self, owner: str, lines: Sequence[Line], reply: ServiceReply) -> None:
        """Remember a reply for the conversation that ends with it."""
        if not reply.slots and reply.open_question is None:
            return
        self._turns[_name(owner, lines)] = Turn(dict(reply.slots), reply.open_question)
        if len(self._turns) > self._max_turns:
            self._turns.popitem(last=False)

    def find(self, owner: str, lines: Sequence[Line]) -> Turn:
        """Return what stood behind the last answer of a conversation; an empty turn where nothing is known."""
        return self._turns.get(_name(owner, lines), Turn())


def _name(owner: str, lines: Sequence[Line]) -> str:
    return hashlib.sha256(json.dumps([owner, list(lines)]).encode()).hexdigest()
