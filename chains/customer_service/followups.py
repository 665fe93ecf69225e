"""Follow-ups completed from earlier turns: "and for tablets?" is no question by itself.

A reading is a text that the chain can answer without the conversation. There may be several; the chain tries them in
turn until one is not handed over.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from chains.customer_service.messages import Turn
from chains.prompts import load_prompt
from llms.errors import ContextOverflowError, InputTextError
from llms.texts import HAN, check_text

_log = logging.getLogger(__name__)

_MAX_READING_CHARS = 1_000  # of a reading that is made here; no chain takes less
_MAX_FOLLOW_UP_WORDS = 12  # longer messages stand by themselves, even where nobody knows the answer
_WORD = re.compile(rf"[^\W\d_{HAN}]+(?:['’][^\W\d_]+)*|\d+|[{HAN}]")
_ENGLISH_BEGINNING = re.compile(r"(and|or|but|also|then|what about|how about|same for|what if it|not)\b", re.IGNORECASE)
_CHINESE_BEGINNING = re.compile(r"那|还有|或者|如果是|换成|要是")
_ENGLISH_POINTER = re.compile(
    r"its?|this|that|these|those|they|them|ones?|the|a|is|are|was|does|do|did|can|will|for|of|with|in|on|to|by|why|how"
    r"|when|where|which|who|so|ok(?:ay)?|yes|no|please|then|there|here|same|too"
)
_CHINESE_POINTERS = frozenset(
    "它这那个些的是吗呢吧啊呀为什么怎样哪里谁何时多少久几可以行不好对有没了也都就还请问要能会在"
)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A customer's message and the turns before it, oldest first."""

    text: str
    turns: Sequence[Turn] = ()


def build_follow_up_reader(chat_model: BaseChatModel | None = None) -> Runnable[FollowUp, list[str]]:
    """Return the step from a message with its history to the ways it can be read, the likeliest first.

    A chat model rewrites the message so that it stands by itself. Without one, a fragment is joined to the last
    message that was none; another short message is tried as it stands first.

    Example:
        >>> from chains.customer_service.messages import now
        >>> before = Turn(id="m1", speaker="customer", text="How long is the warranty of phones?", time=now())
        >>> build_follow_up_reader().invoke(FollowUp("And for tablets?", [before]))
        ['How long is the warranty of phones? And for tablets?', 'And for tablets?']
    """
    if chat_model is None:
        return RunnableLambda(_join, name="follow_up")
    prompt = load_prompt("chains.customer_service", "follow_up", variables=["history"])
    rewriter = prompt | chat_model | StrOutputParser()

    def rewrite(follow_up: FollowUp, config: RunnableConfig) -> list[str]:
        if not follow_up.turns:
            return [follow_up.text]
        history = "\n".join(f"{turn.speaker}: {turn.text}" for turn in follow_up.turns)
        try:
            answer = rewriter.invoke({"history": history, "question": follow_up.text}, config)
            rewritten = check_text(" ".join(answer.split()), max_chars=_MAX_READING_CHARS)
        except (ContextOverflowError, InputTextError) as error:
            _log.warning("the message is read as it stands: %s", error)
            return [follow_up.text]
        return list(dict.fromkeys(text for text in (rewritten, follow_up.text) if text))

    return RunnableLambda(rewrite, name="follow_up")


def is_fragment(text: str) -> bool:
    """Return whether a message plainly needs the one before it: it goes on with it, or only points.

    Example:
        >>> [is_fragment(text) for text in ("and for tablets?", "那平板呢？", "Why that one?", "Where is my parcel?")]
        [True, True, True, False]
    """
    text = text.strip()
    words = _WORD.findall(text.lower())
    if not words or len(words) > _MAX_FOLLOW_UP_WORDS:
        return False
    if _ENGLISH_BEGINNING.match(text) or _CHINESE_BEGINNING.match(text) or text.rstrip("?？!！。. ").endswith("呢"):
        return True
    return all(word in _CHINESE_POINTERS or _ENGLISH_POINTER.fullmatch(word) for word in words)


def _join(follow_up: FollowUp) -> list[str]:
    text = follow_up.text
    earlier = [turn.text for turn in follow_up.turns if turn.speaker == "customer" and not is_fragment(turn.text)]
    if not earlier or len(_WORD.findall(text)) > _MAX_FOLLOW_UP_WORDS:
        return [text]
    joined = f"{earlier[-1]} {text}"
    if len(joined) > _MAX_READING_CHARS:
        return [text]
    return [joined, text] if is_fragment(text) else [text, joined]
