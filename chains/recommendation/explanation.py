"""Reasons: one true sentence on why an item is in the list, and the facts it may rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chains.languages import Language
from chains.recommendation.features import FEATURE_NAMES, FeatureTable
from chains.recommendation.user_profile import UserProfile
from retrievers import EventKind

# A reason must hold when a reader checks it, so each fact has a floor of its own.
MIN_SIMILAR_COSINE = 0.35
MIN_PRICE_MATCH = 0.6
TRENDING_SHARE = 0.1  # of the catalogue
_NEW = float(np.exp(-1.0))  # at most `newness_days` old
MIN_COMPANION_USERS = 5  # of fewer people "often" is not true


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFacts:
    """What can be said of one item and one user; a field left empty is a reason that must not be given."""

    similar_title: str = ""  # the item of the user's history it resembles
    similar_kind: EventKind = EventKind.VIEW  # the strongest thing the user did with that one
    shared_tag: str = ""
    companion_title: str = ""  # the item of the history whose users also used this one
    trending_days: float | None = None  # the window over which it is among the most used
    is_popular: bool = False  # over all time
    is_new: bool = False
    is_usual_price: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonPhrases:
    """The words of the reasons; replace them to speak another language."""

    similar: Mapping[EventKind, str] = field(
        default_factory=lambda: {
            EventKind.VIEW: "because you looked at {title}",
            EventKind.CLICK: "because you looked at {title}",
            EventKind.COMMENT: "because you commented on {title}",
            EventKind.SHARE: "because you shared {title}",
            EventKind.BUY: "because you bought {title}",
        }
    )
    shared_tag: str = "because of your interest in {tag}"
    companion: str = "often chosen by people who chose {title}"
    trending: str = "popular in the last {days:g} days"
    trending_week: str = "popular this week"
    popular: str = "popular over all time"
    new: str = "new"
    usual_price: str = "close to your usual price"
    search: str = "fits what you look for"
    similar_text: str = "like {title}"
    other: str = "a pick from the rest of the catalogue"
    both: str = "{first}, and {second}"
    full_stop: str = "."


PHRASES: Final[Mapping[Language, ReasonPhrases]] = {
    "en": ReasonPhrases(),
    "zh": ReasonPhrases(
        similar={
            EventKind.VIEW: "因为您看过“{title}”",
            EventKind.CLICK: "因为您看过“{title}”",
            EventKind.COMMENT: "因为您评论过“{title}”",
            EventKind.SHARE: "因为您分享过“{title}”",
            EventKind.BUY: "因为您买过“{title}”",
        },
        shared_tag="因为您对“{tag}”感兴趣",
        companion="选择“{title}”的人也常选它",
        trending="近 {days:g} 天的热门",
        trending_week="本周热门",
        popular="一直很受欢迎",
        new="新上架",
        usual_price="接近您平时选择的价位",
        search="符合您的搜索",
        similar_text="与“{title}”相似",
        other="从其余商品中为您挑选",
        both="{first}，而且{second}",
        full_stop="。",
    ),
}
"""The words of reasons by language."""


def explain_item(
    parts: Mapping[str, float],
    facts: ReasonFacts,
    *,
    phrases: ReasonPhrases | None = None,
) -> str:
    """Return a sentence built from the strongest parts that speak for the item and can be backed by a fact.

    Args:
        parts: part -> what it added to the log-odds; parts at or below 0 are no reason.
        facts: what is true of the item.
        phrases: the words to use.

    Returns:
        One sentence. Two short reasons (popular, new, price) are joined. Without any reason that holds, the sentence
        says just that.

    Example:
        >>> explain_item({"newness": 0.9, "price": 0.4, "taste": -0.2}, ReasonFacts(is_new=True, is_usual_price=True))
        'New, and close to your usual price.'
        >>> explain_item({"taste": 1.2}, ReasonFacts(similar_title="Blue kettle", similar_kind=EventKind.BUY))
        'Because you bought Blue kettle.'
    """
    words = phrases or ReasonPhrases()
    ordered = sorted((part for part, added in parts.items() if added > 0), key=lambda part: -parts[part])
    found = [(part, phrase) for part in ordered if (phrase := _phrase(part, facts, words))]
    sentence = found[0][1] if found else words.other
    if len(found) > 1 and not {found[0][0], found[1][0]} & {"taste", "collaborative"}:
        sentence = words.both.format(first=found[0][1], second=found[1][1])
    return f"{sentence[0].upper()}{sentence[1:]}{words.full_stop}"


def explain_similar(title: str, *, is_together: bool, phrases: ReasonPhrases) -> str:
    """Return a sentence on why an item stands beside another one."""
    sentence = (phrases.companion if is_together else phrases.similar_text).format(title=title)
    return f"{sentence[0].upper()}{sentence[1:]}{phrases.full_stop}"


def collect_facts(
    table: FeatureTable, profile: UserProfile, rows: NDArray[np.intp], features: NDArray[np.float32]
) -> list[ReasonFacts]:
    """Return what is true of each of some items for one user.

    Args:
        table: the items.
        profile: the user.
        rows: of the items in the catalogue.
        features: `(num_rows, num_features)`, the items' features.
    """
    recent = profile.recent[: table.options.num_recent]
    cosines, indices = table.closest_recent(recent, rows)
    weights = _weigh_tags(table, profile)
    newness, price = (features[:, FEATURE_NAMES.index(name)].tolist() for name in ("newness", "price_match"))
    found = []
    companions = table.find_companions(profile, rows.tolist(), min_users=MIN_COMPANION_USERS)
    for at, (row, companion) in enumerate(zip(rows.tolist(), companions, strict=True)):
        similar = recent[indices[at]] if recent and cosines[at] >= MIN_SIMILAR_COSINE else None
        found.append(
            ReasonFacts(
                similar_title=table.catalogue[similar].title if similar else "",
                similar_kind=profile.strongest[similar] if similar else EventKind.VIEW,
                shared_tag=_heaviest(table.items[row].tags, weights),
                companion_title=table.catalogue[companion].title if companion else "",
                trending_days=table.trending_days(row, share=TRENDING_SHARE),
                is_popular=table.is_popular(row, share=TRENDING_SHARE),
                is_new=newness[at] >= _NEW,
                is_usual_price=price[at] >= MIN_PRICE_MATCH,
            )
        )
    return found


def _phrase(part: str, facts: ReasonFacts, words: ReasonPhrases) -> str:
    """Return the phrase for one part, or nothing where no fact backs it."""
    if part == "search":
        return words.search
    if part == "taste":
        if facts.similar_title:
            return words.similar[facts.similar_kind].format(title=facts.similar_title)
        return words.shared_tag.format(tag=facts.shared_tag) if facts.shared_tag else ""
    if part == "collaborative":
        return words.companion.format(title=facts.companion_title) if facts.companion_title else ""
    if part == "popularity" and facts.trending_days is not None:
        return words.trending_week if facts.trending_days == 7 else words.trending.format(days=facts.trending_days)
    if part == "popularity" and facts.is_popular:
        return words.popular
    if part == "newness" and facts.is_new:
        return words.new
    return words.usual_price if part == "price" and facts.is_usual_price else ""


def _weigh_tags(table: FeatureTable, profile: UserProfile) -> dict[str, float]:
    """Return how much each tag weighs in the history."""
    weights: dict[str, float] = {}
    for item, strength in profile.likes.items():
        for tag in dict.fromkeys(table.catalogue[item].tags):
            weights[tag] = weights.get(tag, 0.0) + strength
    return weights


def _heaviest(tags: Sequence[str], weights: Mapping[str, float]) -> str:
    """Return the tag that weighs most, of equal ones the first; nothing if none weighs anything."""
    best = max(tags, key=lambda tag: weights.get(tag, 0.0), default="")
    return best if weights.get(best, 0.0) > 0 else ""
