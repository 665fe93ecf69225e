"""Review of real conversations: which answers to look at, and what a person makes of each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from apps.feedback import Feedback
from apps.review_entries import ReviewedAnswer, ReviewedEntry, ReviewedIntent, ReviewedWording, Reviews, ReviewSource
from chains.customer_service import ConversationKey, Turn

Verdict: TypeAlias = tuple[Literal["intent", "wording", "answer", "skip", "stop"], str]
"""What a person decides, and the intent, the id of the known question or the answer that goes with it."""

TurnsOf: TypeAlias = Callable[[ConversationKey], Sequence[Turn]]


class ReviewItem(BaseModel):
    """An answer that somebody was not content with, or a question that a person answered."""

    model_config = ConfigDict(frozen=True)

    source: ReviewSource
    question: str = Field(description="What the customer wrote.")
    said: str = Field(description="What the assistant or the person answered.")
    why: Literal["thumb down", "correction", "answered by a person"]
    route: str | None = None
    intent: str | None = None
    better: str | None = Field(default=None, description="The correction, or the person's answer.")


def find_items(
    conversations: Iterable[ConversationKey], feedback: Sequence[Feedback], turns_of: TurnsOf
) -> Iterator[ReviewItem]:
    """Yield what is worth a look, conversation by conversation, each question once.

    Args:
        conversations: which to look through.
        feedback: all thumbs; thumbs up ask for no review.
        turns_of: gives the turns of a conversation.
    """
    down = {
        (entry.owner, entry.conversation, entry.turn): entry
        for entry in feedback
        if entry.thumb == "down" or entry.correction
    }
    seen: set[str] = set()
    for key in conversations:
        question = ""
        for turn in turns_of(key):
            entry = down.get((key.owner, key.conversation, turn.id))
            item = _item(key, question, turn, entry)
            if turn.speaker == "customer":
                question = turn.text
            elif item is not None and item.question not in seen:
                seen.add(item.question)
                yield item


def review_items(items: Iterable[ReviewItem], reviews: Reviews, ask: Callable[[ReviewItem], Verdict]) -> int:
    """Put what `ask` decides about each item into `reviews`, at once, and return how many entries were added.

    Messages that were reviewed before are passed over.
    """
    known = {entry.text for entry in reviews.entries()}
    count = 0
    for item in items:
        if item.question in known:
            continue
        kind, value = ask(item)
        if kind == "stop":
            break
        if kind == "skip":
            continue
        reviews.add(_entry(item, kind, value))
        count += 1
    return count


def _item(key: ConversationKey, question: str, turn: Turn, entry: Feedback | None) -> ReviewItem | None:
    if not question:
        return None
    source = ReviewSource(owner=key.owner, conversation=key.conversation, turn=turn.id, time=turn.time)
    if turn.speaker == "staff":
        return ReviewItem(
            source=source, question=question, said=turn.text, why="answered by a person", better=turn.text
        )
    if turn.speaker == "assistant" and entry is not None:
        reply = turn.reply
        return ReviewItem(
            source=source,
            question=question,
            said=turn.text,
            why="correction" if entry.correction else "thumb down",
            route=reply.route if reply else None,
            intent=reply.intent if reply else None,
            better=entry.correction,
        )
    return None


def _entry(item: ReviewItem, kind: Literal["intent", "wording", "answer"], value: str) -> ReviewedEntry:
    if kind == "intent":
        return ReviewedIntent(text=item.question, source=item.source, intent=value)
    if kind == "wording":
        return ReviewedWording(text=item.question, source=item.source, question_id=value)
    return ReviewedAnswer(text=item.question, source=item.source, answer=value)
