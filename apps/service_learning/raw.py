"""Conversations as a log's form gives them, before anything is cleaned or judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apps.service_learning.times import parse_time
from llms.texts import fold_text

_RESOLVED = frozenset(
    [
        "true",
        "yes",
        "y",
        "solved",
        "closed",
        "resolved",
        "done",
        "settled",
        "completed",
        "是",
        "已解决",
        "已关闭",
        "已完成",
    ]
)
_UNRESOLVED = frozenset(
    ["false", "no", "n", "open", "new", "pending", "hold", "on-hold", "unresolved", "否", "未解决", "处理中", "待处理"]
)
_GOOD = frozenset(
    [
        "good",
        "great",
        "positive",
        "up",
        "thumbs up",
        "thumbs_up",
        "happy",
        "satisfied",
        "like",
        "好评",
        "满意",
        "非常满意",
        "好",
        "赞",
    ]
)
_BAD = frozenset(
    [
        "bad",
        "negative",
        "down",
        "thumbs down",
        "thumbs_down",
        "unhappy",
        "unsatisfied",
        "dislike",
        "差评",
        "不满意",
        "非常不满意",
        "差",
        "踩",
    ]
)
_MIDDLE = frozenset(["neutral", "ok", "average", "一般", "中评"])


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message with what the log calls its writer."""

    speaker: str
    text: str
    time: datetime | None = None
    line: int = 0


@dataclass(slots=True)
class RawConversation:
    """A conversation of a log; what it does not say is None.

    Attributes:
        names: of the people in it, as the log tells them; they are kept out of the texts.
    """

    id: str
    source: str
    line: int
    messages: list[RawMessage] = field(default_factory=list)
    customer: str | None = None
    names: frozenset[str] = frozenset()
    is_resolved: bool | None = None
    rating: float | None = None
    tags: tuple[str, ...] = ()


def read_resolved(value: Any) -> bool | None:
    """Return whether a log's word says that a concern was settled, or None."""
    if isinstance(value, bool):
        return value
    word = fold_text(str(value or ""))
    return True if word in _RESOLVED else False if word in _UNRESOLVED else None


def read_rating(value: Any) -> float | None:
    """Return a judgement from -1 to 1: of words, of thumbs, or of one to five stars; None for anything else.

    Example:
        >>> [read_rating(value) for value in ("good", "5", 3, -1, "offered")]
        [1.0, 1.0, 0.0, -1.0, None]
    """
    word = fold_text(str(value if value is not None else "")).removesuffix("星").removesuffix("分")
    for words, rating in ((_GOOD, 1.0), (_BAD, -1.0), (_MIDDLE, 0.0)):
        if word in words:
            return rating
    try:
        number = float(word)
    except ValueError:
        return None
    if number in (-1.0, 0.0):
        return number
    return (number - 3) / 2 if 1 <= number <= 5 else None  # stars


def read_tags(value: Any) -> tuple[str, ...]:
    """Return the words of a list, or of a cell that divides them by commas or semicolons."""
    words = value if isinstance(value, list) else str(value or "").replace(";", ",").replace("，", ",").split(",")
    names = [word.get("name") if isinstance(word, Mapping) else word for word in words]
    return tuple(str(name).strip() for name in names if str(name or "").strip())


def read_time(value: Any) -> datetime | None:
    """Return the time of a value of JSON."""
    return None if value is None or isinstance(value, (bool, list, dict)) else parse_time(str(value))


def read_text(value: Any) -> str:
    """Return a text of a value of JSON: as it stands, or the text blocks of a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        blocks = (block.get("text", "") if isinstance(block, Mapping) else block for block in value)
        return "\n".join(block for block in blocks if isinstance(block, str))
    if isinstance(value, Mapping):
        return read_text(value.get("text") or value.get("content") or value.get("body") or "")
    return "" if value is None or isinstance(value, bool) else str(value)
