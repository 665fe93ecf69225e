"""Floor of an encoder's cosines: what it gives to texts that have nothing in common.

One encoder gives unrelated texts a cosine of 0, another one of 0.75; a script that an encoder cannot read lifts them,
too. Whatever compares a cosine with a number has to know, or the number fits one encoder only.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from langchain_core.embeddings import Embeddings

from llms.arrays import FloatArray
from llms.texts.scripts import CHINESE_SHARE, is_chinese

Numbers = TypeVar("Numbers", float, FloatArray)
Embed = Callable[[Sequence[str], Literal["query", "document"]], FloatArray]

_FEW_SPREADS = 2.0  # a mean within so many standard deviations of 0 is none
# no question is answered by any of the passages, nor speaks of the same things
_QUESTIONS = (
    "How do I reset my password?",
    "Which river runs through Cairo?",
    "What is the boiling point of alcohol?",
    "When does the museum open on Sundays?",
    "Who wrote the opera about a barber?",
    "How much does a stamp cost?",
    "Can dogs eat grapes?",
    "What does a notary do?",
)
_PASSAGES = (
    "The train to the coast leaves at half past six.",
    "She planted tomatoes behind the old garage.",
    "Interest rates were raised by a quarter point.",
    "Dinosaurs died out sixty-six million years ago.",
    "He scored twice in the second half.",
    "Please send the invoice to our new office.",
    "The recipe asks for two eggs and a cup of flour.",
    "A cat slept on the warm windowsill.",
)
_CHINESE_QUESTIONS = (
    "怎么重置密码？",
    "流经开罗的是哪条河？",
    "酒精的沸点是多少？",
    "博物馆周日几点开门？",
    "那部关于理发师的歌剧是谁写的？",
    "一张邮票多少钱？",
    "狗能吃葡萄吗？",
    "公证人是做什么的？",
)
_CHINESE_PASSAGES = (
    "开往海边的火车六点半出发。",
    "她在旧车库后面种了番茄。",
    "央行把利率上调了零点二五个百分点。",
    "恐龙在六千六百万年前灭绝。",
    "他在下半场打进两球。",
    "请把发票寄到我们的新办公室。",
    "这道菜需要两个鸡蛋和一杯面粉。",
    "一只猫睡在暖和的窗台上。",
)

PROBE_TEXTS = {"en": (*_QUESTIONS, *_PASSAGES), "zh": (*_CHINESE_QUESTIONS, *_CHINESE_PASSAGES)}


@runtime_checkable
class KnowsCosineFloor(Protocol):
    """Embeddings that know the floor of their cosines."""

    def cosine_floor(self, text: str) -> float:
        """Return the floor for texts in the script of `text`, in [0, 1)."""


def find_cosine_floor(embeddings: Embeddings, text: str) -> float:
    """Return the floor that embeddings know for the script of `text`; 0 for those that know none.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> find_cosine_floor(HashedEmbeddings(), "any text")
        0.0
    """
    return embeddings.cosine_floor(text) if isinstance(embeddings, KnowsCosineFloor) else 0.0


def is_probed_in_chinese(text: str) -> bool:
    """Return whether the floor for a text is that of Chinese; all other scripts share one."""
    return is_chinese(text, min_share=CHINESE_SHARE)


def measure_cosine_floor(embed: Embed, *, chinese: bool) -> float:
    """Return the mean cosine of a question and an unrelated passage; 0 where such cosines lie around 0.

    Args:
        embed: (texts, role) -> unit vectors, (texts, dimension).
        chinese: measure on Chinese texts; else on English ones.
    """
    questions, passages = (_CHINESE_QUESTIONS, _CHINESE_PASSAGES) if chinese else (_QUESTIONS, _PASSAGES)
    cosines = embed(questions, "query") @ embed(passages, "document").T
    mean, spread = float(cosines.mean()), float(cosines.std())
    if mean <= _FEW_SPREADS * spread:
        return 0.0
    return min(mean, 0.999)  # an encoder that gives all texts one vector tells nothing by any cosine


def above_floor(cosine: Numbers, floor: float) -> Numbers:
    """Return how far cosines lie between the floor and 1: 0 and below for unrelated texts, 1 for equal ones.

    Example:
        >>> round(above_floor(0.9, 0.75), 6), above_floor(0.9, 0.0)
        (0.6, 0.9)
    """
    return (cosine - floor) / (1 - floor)


def remove_shared_part(vectors: FloatArray, floor: float) -> FloatArray:
    """Return unit vectors without what all texts share, so that cosines among them begin at 0.

    Args:
        vectors: (texts, dimension), unit rows of one collection.
        floor: of the encoder; 0 leaves the vectors as they are.
    """
    if floor <= 0 or not len(vectors):
        return vectors
    mean = vectors.mean(axis=0)  # of texts without anything else in common, its length is the root of the floor
    longest = np.sqrt(floor) / max(float(np.linalg.norm(mean)), 1e-12)
    spread: FloatArray = (vectors - mean * min(1.0, longest)).astype(np.float32)
    norms = np.linalg.norm(spread, axis=1, keepdims=True)
    unit: FloatArray = spread / np.maximum(norms, 1e-12)
    return unit


def vector_spread(vectors: FloatArray) -> float:
    """Return how far unit vectors lie apart: 1 less their mean cosine, each with each.

    Example:
        >>> vector_spread(np.eye(2, dtype=np.float32)), vector_spread(np.ones((2, 1), dtype=np.float32))
        (0.5, 0.0)
    """
    if not len(vectors):
        return 1.0
    mean = vectors.mean(axis=0)
    return max(0.0, round(1.0 - float(mean @ mean), 6))
