"""Questions made of articles: some words of a sentence behind the beginning of a customer's message."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.documents import Document

from chains.customer_service.quoting import split_passage
from llms.texts import is_chinese, token_spans

_MIN_WORDS = 5  # a shorter sentence says too little to be asked about
_LEAST_KEPT, _MOST_KEPT = 0.2, 0.7  # share of a sentence's words that a question about it has
_OPENING_WORDS = (1, 2)  # more would make it a message about an intent


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question about an article that nobody asked.

    Attributes:
        source: the article.
    """

    text: str
    source: str


def make_questions(
    passages: Sequence[Document], openings: Sequence[str], *, count: int, seed: int = 0
) -> list[MadeQuestion]:
    """Return questions about articles, as many about each as the count and its sentences allow.

    Customers use other words than an article: between two and seven tenths of a sentence's words are kept, and the
    first words of a customer's message stand before them.

    Args:
        passages: of all articles, with the metadata `source`.
        openings: messages of customers, whatever they are about.
        count: at most so many.
        seed: draws sentences, words and openings.
    """
    rng = random.Random(seed)  # noqa: S311  # no secret
    sentences: dict[str, list[str]] = {}
    for passage in passages:
        for sentence in split_passage(passage):
            if not sentence.is_header and len(_words(sentence.shown)) >= _MIN_WORDS:
                sentences.setdefault(sentence.source, []).append(sentence.shown)
    drawn = [(source, rng.sample(texts, len(texts))) for source, texts in sorted(sentences.items())]
    turns = max((len(texts) for _, texts in drawn), default=0)
    in_turn = [(source, texts[turn]) for turn in range(turns) for source, texts in drawn if turn < len(texts)]
    return [MadeQuestion(_ask(text, openings, rng), source) for source, text in in_turn[:count]]


def _ask(sentence: str, openings: Sequence[str], rng: random.Random) -> str:
    words = _words(sentence)
    num_kept = max(2, round(len(words) * rng.uniform(_LEAST_KEPT, _MOST_KEPT)))
    kept = [words[place] for place in sorted(rng.sample(range(len(words)), min(num_kept, len(words))))]
    opening = _words(rng.choice(openings))[: rng.choice(_OPENING_WORDS)] if openings else []
    gap = "" if is_chinese(sentence, min_share=0.3) else " "
    return gap.join([*opening, *kept])


def _words(text: str) -> list[str]:
    """Return the words of a text without its signs."""
    spans = (text[start:end] for start, end in token_spans(text))
    return [word for word in spans if any(character.isalnum() for character in word)]
