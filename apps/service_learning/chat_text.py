"""Copied chats: texts in which a line with a name and a time stands before each message, or a name and a colon."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from apps.service_learning.raw import RawMessage
from apps.service_learning.roles import known_role, who_is
from apps.service_learning.times import parse_time
from chains.customer_service.learning import LoggedRole

_DATE = r"(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})"
_TIME = rf"(?P<time>{_DATE}[ T,]{{0,2}}\s?(?:上午|下午|晚上|凌晨)?\s?\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s?[AP]M)?)"
_HEADS = (  # the surest first
    re.compile(rf"(?P<name>[^\n]{{1,60}}?)\s*[(（]{_TIME}[)）]\s*[:：]\s*(?P<text>.*)"),
    re.compile(rf"[\[(（]?{_TIME}[\])）]?\s*(?:-\s*)?(?P<name>[^:：\n]{{1,60}}?)\s*[:：]\s*(?P<text>\S.*)"),
    re.compile(rf"[\[(（]?{_TIME}[\])）]?\s+(?P<name>\S[^\n]{{0,59}}?)\s*[:：]?\s*(?P<text>)"),
    re.compile(rf"(?P<name>\S[^\n]{{0,59}}?)\s+{_TIME}\s*[:：]?\s*(?P<text>)"),
)
_NAMED = re.compile(r"[\[【]?(?P<name>[^:：\s\]】]{1,30})[\]】]?\s*[:：]\s*(?P<text>.*)")
_BORDER = re.compile(
    r"\s*(?:[-=*_—─]{4,}.*|(?:会话|对话|聊天记录|conversation|chat|session)\s?(?:id|编号|no[.]?|#)?\s?[:：#]?\s?[\w-]{1,40}\s*(?:开始|结束)?)\s*",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"\s*[(（<][\w.@-]{3,60}[)）>]\s*\Z")  # the number behind a name in copies of QQ
_FEWEST_HEADS = 2
_SAMPLE_LINES = 2_000
_MOST_EARLY = 50


class ChatForm:
    """How the messages of a copied chat begin.

    Args:
        lines: the first ones of the file.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        sample = [line.strip() for line in lines][:_SAMPLE_LINES]
        fits = Counter({head: sum(head.fullmatch(line) is not None for line in sample) for head in _HEADS})
        best = max(_HEADS, key=fits.__getitem__)
        self.head: re.Pattern[str] | None = best if fits[best] >= _FEWEST_HEADS else None
        if self.head is None:
            names = (found["name"] for line in sample if (found := _NAMED.fullmatch(line)))
            self.has_names = sum(known_role(name)[0] for name in names) >= _FEWEST_HEADS
        else:
            self.has_names = False

    @property
    def is_chat(self) -> bool:
        """Return whether the lines are a copied chat at all."""
        return self.head is not None or self.has_names

    def match(self, line: str) -> tuple[str, str, str] | None:
        """Return name, time and first text of a line that begins a message, or None."""
        found = (self.head or _NAMED).fullmatch(line.strip())
        if found is None or (self.head is None and not known_role(found["name"])[0]):
            return None
        time = found["time"] if self.head is not None else ""
        return _ACCOUNT.sub("", found["name"]).strip(), time, found["text"]


def read_chat(
    numbered: Iterable[tuple[int, str]], form: ChatForm, roles: Mapping[str, LoggedRole | None]
) -> Iterator[tuple[str, RawMessage]]:
    """Yield the messages with the conversation they belong to: borders and other customers begin a new one.

    Args:
        numbered: the lines of the file with their numbers.
        form: how messages begin.
        roles: who is who; a customer who was not in the conversation begins a new one.
    """
    part, customer = 1, ""
    early: list[RawMessage] = []  # of staff, before the customer is known
    for head, text in _pieces(numbered, form):
        if head is None:
            yield from ((f"part {part}", message) for message in early)
            part, customer, early = part + 1, "", []
            continue
        line, name, time = head
        message = RawMessage(name, text, parse_time(time), line)
        if _is_customer(name, roles):
            customer = name
        if not customer and len(early) < _MOST_EARLY:
            early.append(message)
            continue
        # a customer who comes back within a shop's log goes on with the same conversation, until a longer silence
        key = f"part {part}" if not customer or known_role(customer)[0] else customer
        yield from ((key, message) for message in [*early, message])
        early = []
    yield from ((f"part {part}", message) for message in early)


def _pieces(numbered: Iterable[tuple[int, str]], form: ChatForm) -> Iterator[tuple[tuple[int, str, str] | None, str]]:
    """Yield line, name and time of each message with its text, and None for a border between conversations."""
    head: tuple[int, str, str] | None = None
    texts: list[str] = []
    for number, line in numbered:
        begins = form.match(line)
        is_border = begins is None and _BORDER.fullmatch(line) is not None
        if begins is None and not is_border:
            texts.append(line)
            continue
        if head:
            yield head, "\n".join(texts).strip()
        if begins is None:
            yield None, ""
            head, texts = None, []
        else:
            name, time, text = begins
            head, texts = (number, name, time), [text]
    if head:
        yield head, "\n".join(texts).strip()


def _is_customer(name: str, roles: Mapping[str, LoggedRole | None]) -> bool:
    is_known, role = who_is(name, roles)
    return role == "customer" or not is_known
