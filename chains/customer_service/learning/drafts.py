"""Drafts of intents from groups of requests: a name, typical wordings, answers by how well they worked, a template."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from chains.customer_service.learning.naming import GroupNames
from chains.customer_service.learning.placeholders import placeholders_of, without_stray_braces
from chains.customer_service.learning.requests import LoggedRequest
from llms.texts import split_sentences, text_key
from retrievers import keyword_terms

T = TypeVar("T")

REPEATED_WITHIN = timedelta(days=3)  # a customer who asks again so soon was not helped
NUM_WORDINGS = 12  # that a person looks at
_NUM_ANSWERS = 5
_MAX_COMPARED_ANSWERS = 200  # different ones of a group; the rest are rarer than these
_SAME_ANSWER = 0.6  # of the words of both; staff change a name or a greeting in what they paste


class RankedAnswer(BaseModel):
    """An answer that staff gave, in its most frequent wording.

    Attributes:
        count: how often it was given, in these words or nearly so.
        worked: how often it helped, as a share of those of which that is known; None where nothing is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    count: int = Field(ge=1)
    worked: float | None = Field(default=None, ge=0, le=1)


class GroupDraft(BaseModel):
    """What a person reviews of a group of requests.

    Attributes:
        name: of the intent, as it would stand in intents.csv.
        intent: the intent there is already that these requests fit, or None.
        wordings: requests, each said once: the most typical ones, and of the others some from everywhere, so that a
            person sees what does not belong there.
        answers: of the staff, the best first.
        template: of the approved answer, with slots in braces; "" where no answer can be sent to everybody.
        confidence: how sure it is that the requests belong together, in [0, 1].
        num_requests: all of them, copies included.
        num_customers: who asked; requests of unknown customers count as one each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    intent: str | None = None
    wordings: tuple[str, ...]
    answers: tuple[RankedAnswer, ...] = ()
    template: str = ""
    confidence: float = Field(ge=0, le=1)
    num_requests: int = Field(ge=1)
    num_customers: int = Field(ge=1)


def draft_group(
    requests: Sequence[LoggedRequest],
    *,
    names: GroupNames,
    confidence: float,
    outcomes: Mapping[str, float | None],
    intent: str | None = None,
    slots: Collection[str] = (),
) -> GroupDraft:
    """Return the draft of a group.

    Args:
        requests: the most typical first; at least one.
        names: finds what a group is called.
        confidence: that they belong together.
        outcomes: conversation -> how well it went, as `find_outcomes` says.
        intent: that there is already for them.
        slots: which placeholders a template may have; sentences with others are left out of it.
    """
    answers = rank_answers(requests, outcomes)
    return GroupDraft(
        name=intent or names.name([request.text for request in requests]),
        intent=intent,
        wordings=tuple(show_some(distinct_wordings(requests), NUM_WORDINGS)),
        answers=tuple(answers),
        template=next((found for answer in answers if (found := draft_template(answer.text, slots))), ""),
        confidence=round(confidence, 3),
        num_requests=len(requests),
        num_customers=count_customers(requests),
    )


def distinct_wordings(requests: Sequence[LoggedRequest]) -> list[str]:
    """Return the texts of requests in their order, each said once."""
    return list({text_key(request.text): request.text for request in reversed(requests)}.values())[::-1]


def show_some(values: Sequence[T], count: int) -> list[T]:
    """Return so many of the values: half of them the first ones, half of them spread over the rest.

    Example:
        >>> show_some(range(100), 6)
        [0, 1, 2, 34, 66, 99]
    """
    if len(values) <= count:
        return list(values)
    first = count // 2
    rest = len(values) - first
    places = [first + (number + 1) * rest // (count - first) - 1 for number in range(count - first)]
    return [*values[:first], *(values[place] for place in places)]


def count_customers(requests: Sequence[LoggedRequest]) -> int:
    """Return how many people asked; of those without a name each is another one."""
    return len({request.customer or f"\0{request.conversation}" for request in requests})


def find_outcomes(
    requests: Sequence[LoggedRequest], group_of: Mapping[str, int], *, within: timedelta = REPEATED_WITHIN
) -> dict[str, float | None]:
    """Return for each conversation how well it went, in [0, 1]; None where nothing tells.

    It is the mean of what is known: the customer's rating, whether the log says that it was settled, and whether the
    same customer came back with a request of the same group soon after.

    Args:
        requests: of all groups.
        group_of: conversation -> its group; those of no group are not compared.
        within: what "soon after" is.
    """
    came_back = _find_repeats(requests, group_of, within)
    outcomes: dict[str, float | None] = {}
    for request in requests:
        known = [] if request.rating is None else [(request.rating + 1) / 2]
        if request.is_resolved is not None:
            known.append(float(request.is_resolved))
        if request.conversation in came_back:
            known.append(float(not came_back[request.conversation]))
        outcomes[request.conversation] = sum(known) / len(known) if known else None
    return outcomes


def _find_repeats(requests: Sequence[LoggedRequest], group_of: Mapping[str, int], within: timedelta) -> dict[str, bool]:
    """Return for each conversation of a customer and time that are known whether the request was repeated."""
    asked: dict[tuple[str, int], list[LoggedRequest]] = {}
    for request in requests:
        group = group_of.get(request.conversation)
        if request.customer is not None and request.time is not None and group is not None:
            asked.setdefault((request.customer, group), []).append(request)
    repeated: dict[str, bool] = {}
    for same in asked.values():
        in_order = sorted((request.time, request.conversation) for request in same if request.time is not None)
        for (time, conversation), following in zip(in_order, [*in_order[1:], None], strict=True):
            repeated[conversation] = following is not None and following[0] - time <= within
    return repeated


def rank_answers(requests: Sequence[LoggedRequest], outcomes: Mapping[str, float | None]) -> list[RankedAnswer]:
    """Return the answers given to requests, by how often they were given and how well they worked.

    Answers in nearly the same words are one. An outcome that is not known counts half, so that a frequent answer
    comes before a single one that worked, and one that does not work behind both.
    """
    given: dict[str, list[LoggedRequest]] = {}
    for request in requests:
        if request.answer:
            given.setdefault(text_key(request.answer), []).append(request)
    by_frequency = sorted(given.values(), key=len, reverse=True)[:_MAX_COMPARED_ANSWERS]
    families: list[tuple[frozenset[str], list[LoggedRequest]]] = []
    for same in by_frequency:
        words = frozenset(keyword_terms(same[0].answer or ""))
        near = next((members for known, members in families if _overlap(known, words) >= _SAME_ANSWER), None)
        if near is None:
            families.append((words, list(same)))
        else:
            near += same
    ranked = [(_success(members, outcomes), _to_answer(members, outcomes)) for _, members in families]
    ranked.sort(key=lambda pair: -pair[0])
    return [answer for _, answer in ranked[:_NUM_ANSWERS]]


def draft_template(answer: str, slots: Collection[str]) -> str:
    """Return an answer as a template: with these slots, without sentences that hold other data of one person.

    Example:
        >>> draft_template("Dear {name}. Order {order_number} comes tomorrow. See {email}.", ["order_number"])
        'Order {order_number} comes tomorrow.'
    """
    text = without_stray_braces(answer)
    kept: list[str] = []
    end = 0
    for start, stop in split_sentences(text, (0, len(text))):
        if set(placeholders_of(text[start:stop])) <= set(slots):
            kept.append(text[end if kept else start : stop])
        end = stop
    return "".join(kept)


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(len(one | other), 1)


def _success(requests: Sequence[LoggedRequest], outcomes: Mapping[str, float | None]) -> float:
    known = (outcomes.get(request.conversation) for request in requests)
    return sum(0.5 if outcome is None else outcome for outcome in known)


def _to_answer(requests: Sequence[LoggedRequest], outcomes: Mapping[str, float | None]) -> RankedAnswer:
    text = Counter(request.answer or "" for request in requests).most_common(1)[0][0]
    known = [outcome for request in requests if (outcome := outcomes.get(request.conversation)) is not None]
    return RankedAnswer(text=text, count=len(requests), worked=round(sum(known) / len(known), 3) if known else None)
