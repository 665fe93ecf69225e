"""Sentences of retrieved passages: the best ones to quote, each with its exact place in its article."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.customer_service.schema import Citation
from llms import RecentVectors
from llms.arrays import FloatArray
from llms.texts import split_sentences
from retrievers import keyword_terms

_LINE = re.compile(r"[^\n]+")
_NOT_QUOTED = re.compile(r"#{1,6}(\s|$)|\|[\s:|-]+\|?$|```|~~~")
_WORD_WEIGHT = 0.5
_NUM_COMPARED = 5  # as good as twelve on public sets; four lose half a point
_SCORE_RATIO = 0.85  # further sentences must come this near to the best one


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the place of its passage."""

    text: str
    passage: Document
    offset: int  # where it begins in the passage's text

    @property
    def source(self) -> str:
        """The article it stands in."""
        return str(self.passage.metadata.get("source", self.passage.id or "unknown"))

    def citation(self) -> Citation:
        """Return the sentence's span in its article."""
        metadata = self.passage.metadata
        start = int(metadata.get("start", 0)) + self.offset - int(metadata.get("body_start", 0))
        return Citation(source=self.source, start=start, end=start + len(self.text), quote=self.text)


def split_passage(passage: Document) -> Iterator[Sentence]:
    """Yield the sentences of a passage's body, without headings, table rules and code fences.

    A line ends a sentence, too: in Markdown it is an item of a list or a row of a table, which is kept whole.
    """
    content, body_start = passage.page_content, int(passage.metadata.get("body_start", 0))
    for line in _LINE.finditer(content, body_start):
        text = line.group().strip()
        if not text or _NOT_QUOTED.match(text):
            continue
        first = line.start() + line.group().index(text)
        span = (first, first + len(text))
        for start, end in [span] if text.startswith("|") else split_sentences(content, span, at_semicolons=True):
            yield Sentence(content[start:end], passage, start)


@functools.lru_cache(maxsize=10_000)  # about 1 KB each
def _words(text: str) -> frozenset[str]:
    return frozenset(keyword_terms(text))


class SentenceVectors:
    """The vectors of sentences, of which those used last are kept: passages that many ask for are embedded once.

    Args:
        embeddings: turns texts into vectors.
        max_texts: how many are kept, in memory.
    """

    def __init__(self, embeddings: Embeddings, *, max_texts: int = 20_000) -> None:
        self._embeddings = embeddings
        self._recent = RecentVectors(max_texts=max_texts)

    def of(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of texts, (texts, dimension) float32."""
        return self._recent.embed(texts, self._make)

    def of_question(self, question: str) -> FloatArray:
        """Return the vector of a question, (dimension,) float32; it is not kept."""
        return np.asarray(self._embeddings.embed_query(question), dtype=np.float32)

    def _make(self, texts: list[str]) -> FloatArray:
        return np.asarray(self._embeddings.embed_documents(texts), dtype=np.float32)


def best_sentences(
    question: str, passages: Sequence[Document], *, vectors: SentenceVectors, max_sentences: int = 3
) -> list[Sentence]:
    """Return the sentences that answer best, in reading order, all from one article.

    A sentence's score is its cosine to the question, half the share of the question's words in it, and the relevance
    of its passage; sentences are read together with their article's title, since many say "it" for what the title
    names. The cosine is asked for the five that lead by words and relevance.
    """
    sentences = [sentence for passage in passages for sentence in split_passage(passage)]
    if not sentences:
        return []
    texts = [f"{sentence.passage.metadata.get('title', '')}: {sentence.text}" for sentence in sentences]
    words = _words(question)
    shares = np.array([len(words & _words(text)) / max(len(words), 1) for text in texts])
    relevance = np.array([float(sentence.passage.metadata.get("relevance", 0.0)) for sentence in sentences])
    leads = _WORD_WEIGHT * shares + relevance
    leading = np.argsort(-leads, kind="stable")[:_NUM_COMPARED]
    cosines = vectors.of([texts[place] for place in leading]) @ vectors.of_question(question)
    scores = dict(zip(leading.tolist(), (leads[leading] + cosines).tolist(), strict=True))
    best = max(scores, key=scores.__getitem__)
    near = [
        place
        for place in sorted(scores, key=lambda place: -scores[place])
        if place == best
        or (sentences[place].source == sentences[best].source and scores[place] >= _SCORE_RATIO * scores[best])
    ]
    chosen = [sentences[place] for place in near[:max_sentences]]
    return sorted(chosen, key=lambda sentence: sentence.citation().start)
