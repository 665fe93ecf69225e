"""What a customer asks in a logged conversation, and what the staff answered, without greetings and thanks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from chains.customer_service.learning.conversations import LoggedConversation, LoggedMessage, LoggedRole
from chains.customer_service.learning.courtesies import asks_to_wait, without_courtesies
from llms.texts import is_han

_MAX_CHARS = 600  # of a request and of an answer; what is longer is a report, and one sentence more never tells more
_MIN_WORDS = 3  # of a request that can be understood; a Chinese character is half a word
_MIN_ANSWER_WORDS = 4
_MAX_LATER_MESSAGES = 30  # in which the answer is looked for: later ones answer something else
# of the staff; some forget the mark
_QUESTION = re.compile(r"[?？]\s*$|^(?:\w+,? )?(?:could|can|may|would) (?:you|i|we)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """What a customer asked, what the staff answered, and what is known of how well that worked.

    Attributes:
        conversation: the id of the conversation it was asked in.
        text: of the customer, without greetings and thanks.
        answer: of the staff, without greetings, questions back and "one moment"; None where there was none.
        customer: who asked, or None.
        time: when, or None.
        is_resolved: as of `LoggedConversation`.
        rating: as of `LoggedConversation`.
    """

    conversation: str
    text: str
    answer: str | None = None
    customer: str | None = None
    time: datetime | None = None
    is_resolved: bool | None = None
    rating: float | None = None


def find_request(conversation: LoggedConversation) -> LoggedRequest | None:
    """Return what the customer asks first, and the answer to it; None where nothing is asked.

    A first message that only greets, or that is too short to be understood, is read together with the next ones.

    Example:
        >>> from chains.customer_service.learning import LoggedMessage
        >>> said = [("customer", "Hi there!"), ("agent", "Hello, how can I help?"),
        ...         ("customer", "Where is my parcel? Thanks"), ("agent", "One moment please."),
        ...         ("agent", "It comes tomorrow between 9 and 12.")]
        >>> messages = tuple(LoggedMessage(role=role, text=text) for role, text in said)
        >>> request = find_request(LoggedConversation(id="1", source="log.csv, line 2", messages=messages))
        >>> request.text, request.answer
        ('Where is my parcel?', 'It comes tomorrow between 9 and 12.')
    """
    asked: list[str] = []
    first: LoggedMessage | None = None
    rest: Sequence[LoggedMessage] = ()
    for at, messages in _runs(conversation.messages):
        if messages[0].role != "customer":
            if _count_words(asked) >= _MIN_WORDS:
                break
            continue
        found = [sentence for message in messages for sentence in without_courtesies(message.text)]
        if found and first is None:
            first = next(message for message in messages if without_courtesies(message.text))
        asked += found
        rest = conversation.messages[at + len(messages) :]
    if first is None:
        return None
    return LoggedRequest(
        conversation=conversation.id,
        text=_joined(asked),
        answer=_find_answer(rest),
        customer=conversation.customer,
        time=first.time,
        is_resolved=conversation.is_resolved,
        rating=conversation.rating,
    )


def _find_answer(messages: Sequence[LoggedMessage]) -> str | None:
    """Return the first thing the staff say that informs: neither a question back nor a request to wait."""
    for _, run in _runs(messages[:_MAX_LATER_MESSAGES]):
        if run[0].role != "agent":
            continue
        said = [
            sentence
            for message in run
            for sentence in without_courtesies(message.text)
            if not _QUESTION.search(sentence) and not asks_to_wait(sentence)
        ]
        if _count_words(said) >= _MIN_ANSWER_WORDS:
            return _joined(said)
    return None


def _runs(messages: Sequence[LoggedMessage]) -> Iterator[tuple[int, list[LoggedMessage]]]:
    """Yield the place and the messages of each stretch in which one role speaks."""
    run: list[LoggedMessage] = []
    role: LoggedRole | None = None
    for at, message in enumerate(messages):
        if message.role != role and run:
            yield at - len(run), run
            run = []
        role = message.role
        run.append(message)
    if run:
        yield len(messages) - len(run), run


def _count_words(sentences: Sequence[str]) -> float:
    text = " ".join(sentences)
    num_han = sum(map(is_han, text))
    return num_han / 2 + len("".join(" " if is_han(letter) else letter for letter in text).split())


def _joined(sentences: Sequence[str]) -> str:
    """Return sentences as one text, as many as fit; the first one is there in any case."""
    text = sentences[0][:_MAX_CHARS]
    for sentence in sentences[1:]:
        gap = "" if is_han(text[-1]) or text[-1] in "。！？；" else " "
        if is_han(text[-1]) and is_han(sentence[0]):
            gap = "，"
        if len(text) + len(gap) + len(sentence) > _MAX_CHARS:
            break
        text = f"{text}{gap}{sentence}"
    return text
