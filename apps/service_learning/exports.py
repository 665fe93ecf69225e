"""Conversations in the JSON of help desks and chat programs: Zendesk, Intercom, Freshdesk, WeCom, message lists.

References:
    Zendesk "Ticket comments" and "Exporting data"; Intercom "The conversation model"; Freshdesk "View a ticket" with
    `include=conversations`; WeCom "会话内容存档" (message archive).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.service_learning.layout import LogForm
from apps.service_learning.raw import (
    RawConversation,
    RawMessage,
    read_rating,
    read_resolved,
    read_tags,
    read_text,
    read_time,
)
from llms.errors import TrainingDataError
from llms.finetuning.data import is_log, plain_conversation, plain_message

_LISTS = (
    "messages",
    "conversations",
    "conversation",
    "turns",
    "dialogue",
    "dialog",
    "original",
    "log",
    "chat",
    "history",
)
_SPEAKERS = ("role", "speaker", "from", "sender", "author", "author_type", "sender_type", "type")
_TEXTS = ("content", "text", "value", "message", "body", "utterance")
_TIMES = ("time", "timestamp", "created_at", "date", "sent_at", "createdAt", "ts")
_IDS = (
    "id",
    "convo_id",
    "conversation_id",
    "conversationId",
    "session_id",
    "chat_id",
    "dialogue_id",
    "ticket_id",
    "uuid",
)
_FRESHDESK_SETTLED = (4, 5)  # resolved, closed
_WECOM_CUSTOMERS = ("wm", "wo")  # ids of people outside of the company
_WECOM_BOT = "wb"


def record_form(record: Any) -> LogForm | None:
    """Return what a record of JSON is, or None where it is a row of a table."""
    if not isinstance(record, Mapping):
        return None
    if isinstance(record.get("comments"), list):
        return "zendesk"
    if "conversation_parts" in record:
        return "intercom"
    turns = record.get("conversations")
    if isinstance(turns, list) and (
        "description" in record or any("incoming" in turn for turn in turns if isinstance(turn, Mapping))
    ):
        return "freshdesk"
    if "msgtype" in record and "from" in record:
        return "wecom"
    if is_log(record) or any(isinstance(record.get(key), list) and record[key] for key in _LISTS):
        return "message lists"
    return None


def read_record(record: Mapping[str, Any], form: LogForm, *, source: str, line: int) -> RawConversation:
    """Return the conversation of a record in the form of a help desk, or of a list of messages.

    Raises:
        TrainingDataError: if a list of messages is in no known form.
    """
    readers = {"zendesk": _zendesk, "intercom": _intercom, "freshdesk": _freshdesk, "message lists": _message_list}
    conversation = readers[form](record, source, line)
    for place, message in enumerate(conversation.messages):
        conversation.messages[place] = RawMessage(message.speaker, message.text, message.time, line)
    return conversation


def expand_records(value: Any) -> Iterator[Any]:
    """Yield the conversations of a file that wraps them in one object, or the value itself."""
    if isinstance(value, Mapping) and record_form(value) in (None, "message lists"):
        for key in ("tickets", "conversations", "data", "dialogues", "dialogs", "chats", "results"):
            inner = value.get(key)
            if (
                isinstance(inner, list)
                and inner
                and all(record_form(part) not in (None, "wecom") for part in inner[:5])
            ):
                yield from inner
                return
        if value and all(isinstance(part, Mapping) and record_form(part) for part in value.values()):
            for name, part in value.items():
                yield {"id": name} | dict(part)
            return
    yield value


def wecom_message(record: Mapping[str, Any], line: int) -> tuple[str, RawMessage]:
    """Return which conversation a message of WeCom's archive belongs to, and the message."""
    sender, receivers = str(record.get("from") or ""), record.get("tolist") or []
    pair = sorted({sender, *(str(receiver) for receiver in receivers if isinstance(receiver, str))})
    kind = str(record.get("msgtype") or "")
    text = read_text(record.get(kind)) if kind in ("text", "markdown") else ""
    speaker = "customer" if sender.startswith(_WECOM_CUSTOMERS) else "bot" if sender.startswith(_WECOM_BOT) else "agent"
    return str(record.get("roomid") or " ".join(pair)), RawMessage(
        speaker, text, read_time(record.get("msgtime")), line
    )


def _zendesk(record: Mapping[str, Any], source: str, line: int) -> RawConversation:
    requester = record.get("requester")
    requester_id = record.get("requester_id") or (requester.get("id") if isinstance(requester, Mapping) else None)
    comments = [comment for comment in record["comments"] if isinstance(comment, Mapping)]
    messages = [
        RawMessage(
            "customer" if requester_id is not None and _author_id(comment) == requester_id else "agent",
            read_text(comment.get("plain_body") or comment.get("html_body") or comment.get("body")),
            read_time(comment.get("created_at")),
        )
        for comment in comments
        if comment.get("public", True)
    ]
    description = read_text(record.get("description"))
    if description and not any(message.speaker == "customer" for message in messages):
        messages.insert(0, RawMessage("customer", description, read_time(record.get("created_at"))))
    rating = record.get("satisfaction_rating")
    return RawConversation(
        _id(record, line),
        source,
        line,
        messages,
        _text_or_none(requester_id),
        _names(requester, *comments),
        read_resolved(record.get("status")),
        read_rating(rating.get("score") if isinstance(rating, Mapping) else rating),
        read_tags(record.get("tags") or []),
    )


def _intercom(record: Mapping[str, Any], source: str, line: int) -> RawConversation:
    first = _mapping(record.get("source"))
    parts = record["conversation_parts"]
    parts = parts.get("conversation_parts", []) if isinstance(parts, Mapping) else parts
    messages, authors = [], []
    for part in [{**first, "created_at": record.get("created_at"), "part_type": "comment"}, *(parts or [])]:
        if isinstance(part, Mapping) and part.get("body") and part.get("part_type", "comment") != "note":
            author = _mapping(part.get("author"))
            authors.append(author)
            messages.append(
                RawMessage(str(author.get("type") or ""), read_text(part["body"]), read_time(part.get("created_at")))
            )
    customers = [author for author in authors if author.get("type") in ("user", "lead", "contact")]
    rating, tags = record.get("conversation_rating"), record.get("tags")
    return RawConversation(
        _id(record, line),
        source,
        line,
        messages,
        _text_or_none(customers[0].get("id")) if customers else None,
        _names(*authors),
        read_resolved(record.get("state")),
        read_rating(rating.get("rating")) if isinstance(rating, Mapping) else None,
        read_tags(tags.get("tags") if isinstance(tags, Mapping) else tags or []),
    )


def _freshdesk(record: Mapping[str, Any], source: str, line: int) -> RawConversation:
    requester = record.get("requester")
    messages = []
    if description := read_text(record.get("description_text") or record.get("description")):
        messages.append(RawMessage("customer", description, read_time(record.get("created_at"))))
    for part in record["conversations"]:
        if isinstance(part, Mapping) and not part.get("private"):
            speaker = "customer" if part.get("incoming") else "agent"
            messages.append(
                RawMessage(
                    speaker, read_text(part.get("body_text") or part.get("body")), read_time(part.get("created_at"))
                )
            )
    status = record.get("status")
    is_resolved = status in _FRESHDESK_SETTLED if isinstance(status, int) else read_resolved(status)
    return RawConversation(
        _id(record, line),
        source,
        line,
        messages,
        _text_or_none(record.get("requester_id")),
        _names(requester),
        is_resolved,
        read_rating(record.get("rating")),
        read_tags(record.get("tags") or []),
    )


def _message_list(record: Mapping[str, Any], source: str, line: int) -> RawConversation:
    key = next((key for key in _LISTS if isinstance(record.get(key), list) and record[key]), None)
    turns = record[key] if key else []
    if is_log(record):
        if key == "messages" and not any(isinstance(turn, list) for turn in turns):
            turns = [plain_message(turn) for turn in turns]
        else:
            turns = plain_conversation(record)[0]
    messages = [message for turn in turns if (message := _turn(turn)) is not None]
    if turns and not messages:
        msg = f"its {key!r} holds no messages; each needs who wrote it, such as 'role', and a text, such as 'content'"
        raise TrainingDataError(msg)
    return RawConversation(
        _id(record, line),
        source,
        line,
        messages,
        _text_or_none(record.get("customer") or record.get("user_id")),
        frozenset(),
        read_resolved(record.get("resolved", record.get("status"))),
        read_rating(record.get("rating", record.get("feedback"))),
        read_tags(record.get("tags") or []),
    )


def _turn(turn: Any) -> RawMessage | None:
    if isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn):  # pairs
        return RawMessage(turn[0], turn[1])
    if not isinstance(turn, Mapping):
        return None
    speaker = next((turn[key] for key in _SPEAKERS if turn.get(key)), None)
    if isinstance(speaker, Mapping):
        speaker = speaker.get("type") or speaker.get("role") or speaker.get("name")
    text = next((turn[key] for key in _TEXTS if key in turn), None)
    if not isinstance(speaker, str):
        return None
    return RawMessage(speaker, read_text(text), next((read_time(turn[key]) for key in _TIMES if key in turn), None))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _author_id(comment: Mapping[str, Any]) -> Any:
    author = comment.get("author")
    return comment.get("author_id") or (author.get("id") if isinstance(author, Mapping) else author)


def _names(*people: Any) -> frozenset[str]:
    """Return the names of people, of parts with an author, or of neither."""
    names = set()
    for person in people:
        if isinstance(person, Mapping):
            inner = person.get("author")
            names |= {
                str(part["name"])
                for part in (person, inner)
                if isinstance(part, Mapping) and isinstance(part.get("name"), str)
            }
    return frozenset(names)


def _id(record: Mapping[str, Any], line: int) -> str:
    return next((str(record[key]) for key in _IDS if record.get(key) not in (None, "")), f"line {line}")


def _text_or_none(value: Any) -> str | None:
    return None if value in (None, "") else str(value)
