"""Logged conversations made of raw ones: cleaned, in order, judged; what cannot be learnt from is set aside."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from apps.service_learning.layout import SetAside
from apps.service_learning.mail import clean_message
from apps.service_learning.raw import RawConversation
from apps.service_learning.roles import look_swapped, role_of_name, who_is
from chains.customer_service.learning import LoggedConversation, LoggedMessage, LoggedRole
from llms.texts import has_raw_bytes

MAX_MESSAGES = 500
MAX_MESSAGE_CHARS = 20_000
_FEWEST_OF_PROGRAMS = 6
_WORD = re.compile(r"\w")
_MIN_NAME_CHARS = 2


def assemble(
    raw: RawConversation, roles: Mapping[str, LoggedRole | None], *, pseudonym_key: bytes = b""
) -> tuple[LoggedConversation | None, list[SetAside]]:
    """Return a conversation, or None, and what of it was set aside.

    Messages are cleaned; those without words go, those in broken encodings and of enormous length are set aside alone.
    Where all have a time they are put in its order. Set aside as a whole are conversations without a message of a
    customer, with more than 500 messages, between programs, and those in which the roles look exchanged.

    Args:
        raw: as the log has it.
        roles: what the log calls somebody -> who that is; known words need no entry.
        pseudonym_key: a secret of the workspace, without which the customers' pseudonyms cannot be undone by trying.
    """
    if len(raw.messages) > MAX_MESSAGES:
        reason = f"a conversation of more than {MAX_MESSAGES} messages; is the right column taken for the conversation?"
        return None, [SetAside(raw.source, raw.line, reason)]
    messages, aside = _messages(raw, roles)
    if all(message.time is not None for message in messages):
        messages.sort(key=lambda message: message.time)  # type: ignore[arg-type, return-value]  # checked the line before
    if reason := _why_unusable(messages):
        return None, [*aside, SetAside(raw.source, raw.line, reason)]
    conversation = LoggedConversation(
        id=raw.id,
        source=f"{Path(raw.source).name}:{raw.line}",
        messages=tuple(messages),
        customer=None if raw.customer is None else _pseudonym(raw.customer, pseudonym_key),
        is_resolved=raw.is_resolved,
        rating=raw.rating,
        tags=raw.tags,
    )
    return conversation, aside


def _messages(
    raw: RawConversation, roles: Mapping[str, LoggedRole | None]
) -> tuple[list[LoggedMessage], list[SetAside]]:
    messages, aside = [], []
    names = _name_expression(raw.names)
    for message in raw.messages:
        line = message.line or raw.line
        is_known, role = who_is(message.speaker, roles)
        if not is_known:
            reason = f"nothing says who {message.speaker[:40]!r} is; name it among the roles"
            aside.append(SetAside(raw.source, line, reason))
        elif role is None:
            continue
        elif has_raw_bytes(message.text):
            aside.append(SetAside(raw.source, line, "bytes that are in no known encoding; save the file as UTF-8"))
        elif len(message.text) > MAX_MESSAGE_CHARS * 10 or len(text := clean_message(message.text)) > MAX_MESSAGE_CHARS:
            aside.append(
                SetAside(
                    raw.source, line, f"a message of {len(message.text):,} characters, more than {MAX_MESSAGE_CHARS:,}"
                )
            )
        elif _WORD.search(text):
            messages.append(
                LoggedMessage(role=role, text=names.sub("{name}", text) if names else text, time=message.time)
            )
    return messages, aside


def _why_unusable(messages: Sequence[LoggedMessage]) -> str:
    if not messages:
        return "a conversation without a message in words"
    customer = [message.text for message in messages if message.role == "customer"]
    company = [message.text for message in messages if message.role != "customer"]
    if not customer:
        return "a conversation without a message of a customer"
    if _are_programs(customer, company):
        return "two programs answer each other: both sides repeat themselves"
    if look_swapped(customer, company):
        return "the roles look exchanged: the customer speaks as staff does; if so throughout, name them the other way"
    return ""


def _are_programs(customer: Sequence[str], company: Sequence[str]) -> bool:
    return len(customer) + len(company) >= _FEWEST_OF_PROGRAMS and all(
        len(set(side)) * 2 <= len(side) and len(side) > 2
        for side in (customer, company)  # said thrice
    )


def _name_expression(names: frozenset[str]) -> re.Pattern[str] | None:
    """Return an expression for the names that the log itself tells, but for words such as "Support"."""
    people = sorted((name.strip() for name in names if _is_person(name.strip())), key=len, reverse=True)
    return re.compile("|".join(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" for name in people)) if people else None


def _is_person(name: str) -> bool:
    return len(name) >= _MIN_NAME_CHARS and role_of_name(name) is None and "{" not in name


def _pseudonym(customer: str, key: bytes) -> str:
    return hashlib.blake2b(customer.encode("utf-8", "replace"), digest_size=8, key=key[:64]).hexdigest()
