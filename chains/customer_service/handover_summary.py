"""Staff-facing texts per language: reasons of routes, and the summary at a hand-over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chains.languages import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffWords:
    """Sentences with places for names and numbers, filled by `str.format`."""

    about_intent: str
    lacks_slot: str
    lookup_knows_nothing: str
    known_question: str
    composed: str
    quoted: str
    two_intents: str
    unsure: str
    how_sure: str
    below_threshold: str
    message: str
    likeliest: str
    why: str
    known: str
    held_message: str
    held_reply: str


STAFF_WORDS: Final[Mapping[Language, StaffWords]] = {
    "en": StaffWords(
        about_intent="the message is about {intent}",
        lacks_slot="the message does not hold {slot}",
        lookup_knows_nothing="{tool} knows nothing of this {slots}",
        known_question="the known question {id} is asked (relevance {relevance:.2f})",
        composed="no approved answer fits for sure; composed from {sources}",
        quoted="no approved answer fits for sure; quoted from {sources}",
        two_intents="{first} and {second} are the likeliest intents, and neither is sure enough",
        unsure=(
            "likeliest intent {intent} ({probability:.2f}) is not sure enough, and nothing in the knowledge base is "
            "relevant enough"
        ),
        how_sure="; right with a probability of {probability:.2f}, where {threshold:.2f} is enough",
        below_threshold=(
            "the likeliest answer ({route}) is right with a probability of {probability:.2f} only; the budget of wrong "
            "answers asks for {threshold:.2f}"
        ),
        message="Message: {text}",
        likeliest="Likeliest intents: {intents}",
        why="Why: {reason}",
        known="Known: {slots}",
        held_message="the message is left to a person ({finding})",
        held_reply="the answer was held back ({finding})",
    ),
    "zh": StaffWords(
        about_intent="消息的意图是 {intent}",
        lacks_slot="消息中没有 {slot}",
        lookup_knows_nothing="{tool} 查不到该 {slots}",
        known_question="问的是已知问题 {id}（相关度 {relevance:.2f}）",
        composed="没有足够确定的标准答案，根据 {sources} 组织回答",
        quoted="没有足够确定的标准答案，引用 {sources} 的原文",
        two_intents="最可能的意图是 {first} 和 {second}，但都不够确定",
        unsure="最可能的意图 {intent}（{probability:.2f}）不够确定，知识库中也没有足够相关的内容",
        how_sure="；答对的概率为 {probability:.2f}，达到 {threshold:.2f} 即可作答",
        below_threshold="最可能的答案（{route}）答对的概率只有 {probability:.2f}，按答错率上限需要达到 {threshold:.2f}",
        message="消息：{text}",
        likeliest="最可能的意图：{intents}",
        why="原因：{reason}",
        known="已知信息：{slots}",
        held_message="该消息交由人工处理（{finding}）",
        held_reply="回答未发出（{finding}）",
    ),
}
