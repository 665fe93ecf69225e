"""Sentences about alerts, in every language of a workspace."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType

from chains.languages import Language
from chains.monitoring.change_points import StepRecord, Track
from llms.texts import show_share

_Words = Mapping[str, str]

_ENGLISH: _Words = MappingProxyType(
    {
        "share": "negative share {share} of {posts} posts since {since}, usual {usual}",
        "volume": "{negatives:.0f} negative posts since {since}, usual {volume:.1f}; negative share {share} of {posts} "
        "posts, usual {usual}",
        "copies": "; {copies} further posts repeat the text of another and do not count",
        "escalated": "; doubled by {escalated}",
        "moment": "{moment} ({zone})",
    }
)
_CHINESE: _Words = MappingProxyType(
    {
        "share": "自 {since} 起 {posts} 条帖子中负面占 {share}，平时为 {usual}",
        "volume": "自 {since} 起有 {negatives:.0f} 条负面帖子，平时为 {volume:.1f} 条；{posts} 条帖子中负面占 {share}，"
        "平时为 {usual}",
        "copies": "；另有 {copies} 条与其他帖子内容相同，不计入",
        "escalated": "；到 {escalated} 已翻倍",
        "moment": "{moment}（{zone}）",
    }
)
WORDS: Mapping[Language, _Words] = MappingProxyType({"en": _ENGLISH, "zh": _CHINESE})


def describe_surge(
    seen: StepRecord,
    track: Track,
    since: datetime,
    *,
    zone: tzinfo,
    language: Language,
    escalated_at: datetime | None = None,
) -> str:
    """Return one sentence for people on a surge.

    Args:
        seen: the sum of its steps.
        track: which test raised it.
        since: when it began.
        zone: in which times are told.
        language: of the sentence.
        escalated_at: when it last doubled.

    Example:
        >>> from datetime import UTC
        >>> seen = StepRecord(0, 40, 26.0, 9.2, 6.2)
        >>> describe_surge(seen, "volume", datetime(2026, 3, 19, 6, 10, tzinfo=UTC), zone=UTC, language="en")
        '26 negative posts since 2026-03-19 06:10 UTC, usual 6.2; negative share 65 % of 40 posts, usual 23 %'
    """
    words, posts = WORDS[language], max(seen.posts, 1)
    sentence = words[track].format(
        negatives=seen.negatives,
        volume=seen.baseline_volume,
        posts=seen.posts,
        share=show_share(min(1.0, seen.negatives / posts)),
        usual=show_share(min(1.0, seen.baseline_negatives / posts)),
        since=_tell(since, zone, words),
    )
    if seen.copies:
        sentence += words["copies"].format(copies=seen.copies)
    if escalated_at is not None:
        sentence += words["escalated"].format(escalated=_tell(escalated_at, zone, words))
    return sentence


def _tell(moment: datetime, zone: tzinfo, words: _Words) -> str:
    local, name = f"{moment.astimezone(zone):%Y-%m-%d %H:%M}", str(zone)
    return f"{local} {name}" if name == "UTC" else words["moment"].format(moment=local, zone=name)
