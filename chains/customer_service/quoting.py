"""Sentences of retrieved passages: the best ones to quote, each with its exact place in its article."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.customer_service.schema import Citation
from retrievers.keyword import split_words

__all__ = ["Sentence", "best_sentences", "split_sentences"]

# an end mark and what closes after it; in Chinese no space follows, and a line of a list is a sentence, too
_SENTENCE = re.compile(r"[^\s].*?(?:[.!?](?=[\s\"')\]]|$)[\"')\]]*|[。！？；]+[”’」』）]*|$)", flags=re.MULTILINE)
_NOT_QUOTED = re.compile(r"^(#|\|[\s:|-]+\|?$|```)")
_WORD_WEIGHT = 0.5
_SCORE_RATIO = 0.85  # further sentences must come this near to the best one


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the place of its passage."""

    text: str
    passage: Document
    offset: int  # where it begins in the passage's text

    def citation(self) -> Citation:
        """Return the sentence's span in its article."""
        metadata = self.passage.metadata
        start = int(metadata.get("start", 0)) + self.offset - int(metadata.get("body_start", 0))
        source = str(metadata.get("source", self.passage.id or "unknown"))
        return Citation(source=source, start=start, end=start + len(self.text), quote=self.text)


def split_sentences(passage: Document) -> Iterator[Sentence]:
    """Yield the sentences of a passage's body, without headings, table rules and code fences."""
    body_start = int(passage.metadata.get("body_start", 0))
    for match in _SENTENCE.finditer(passage.page_content, body_start):
        text = match.group(0).strip()
        if text and not _NOT_QUOTED.match(text):
            yield Sentence(text, passage, match.start())


def best_sentences(
    question: str, passages: Sequence[Document], *, embeddings: Embeddings, max_sentences: int = 3
) -> list[Sentence]:
    """Return the sentences that answer best, in reading order, all from one article.

    A sentence's score is its cosine to the question plus half the share of the question's words in it; sentences
    are read together with their article's title, since many say "it" for what the title names.
    """
    sentences = [sentence for passage in passages for sentence in split_sentences(passage)]
    if not sentences:
        return []
    texts = [f"{sentence.passage.metadata.get('title', '')}: {sentence.text}" for sentence in sentences]
    vectors = np.asarray(embeddings.embed_documents(texts))  # (sentences, dimension)
    cosines = vectors @ np.asarray(embeddings.embed_query(question))
    words = set(split_words(question))
    shares = np.array([len(words & set(split_words(text))) / max(len(words), 1) for text in texts])
    relevance = np.array([float(sentence.passage.metadata.get("relevance", 0.0)) for sentence in sentences])
    scores = cosines + _WORD_WEIGHT * shares + relevance
    best = int(scores.argmax())
    source = sentences[best].passage.metadata.get("source")
    near = [
        i
        for i in np.argsort(-scores, kind="stable")
        if sentences[i].passage.metadata.get("source") == source and scores[i] >= _SCORE_RATIO * scores[best]
    ]
    chosen = [sentences[i] for i in near[:max_sentences]]
    return sorted(chosen, key=lambda sentence: sentence.citation().start)
