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

# an end mark and what closes after it; in Chinese no space follows
_END = re.compile(r"[.!?]+[\"'”’)\]*_]*(?=\s|$)|[。！？；]+[”’」』）]*")
# a lower-case word goes on with the sentence ("approx. five"), unless it is a name ("eSIM")
_GOES_ON = re.compile(r"\s+[a-z](?![A-Z])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|vs|approx|incl|mr|mrs|ms|dr)\.$", flags=re.IGNORECASE)
_NUMBERED, _NUMBER = re.compile(r"\b(?:no|fig)\.$", flags=re.IGNORECASE), re.compile(r"\s+\d")
_MAX_ABBREVIATION_CHARS = 10
_LIST_NUMBER = re.compile(r"(?:[-*+]\s+)?\d+\.$")
_LINE = re.compile(r"[^\n]+")
_NOT_QUOTED = re.compile(r"#{1,6}(\s|$)|\|[\s:|-]+\|?$|```|~~~")
_WORD_WEIGHT = 0.5
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


def split_sentences(passage: Document) -> Iterator[Sentence]:
    """Yield the sentences of a passage's body, without headings, table rules and code fences.

    A line ends a sentence, too: in Markdown it is an item of a list or a row of a table, which is kept whole.
    """
    body_start = int(passage.metadata.get("body_start", 0))
    for line in _LINE.finditer(passage.page_content, body_start):
        text = line.group().strip()
        if not text or _NOT_QUOTED.match(text):
            continue
        first, begin = line.start() + line.group().index(text), 0
        for end in [len(text)] if text.startswith("|") else _sentence_ends(text):
            piece = text[begin:end]
            if sentence := piece.strip():
                leading = len(piece) - len(piece.lstrip())
                yield Sentence(sentence, passage, first + begin + leading)
            begin = end


def _sentence_ends(line: str) -> list[int]:
    ends = [mark.end() for mark in _END.finditer(line) if _is_end(line, mark)]
    return ends if ends[-1:] == [len(line)] else [*ends, len(line)]


def _is_end(line: str, mark: re.Match[str]) -> bool:
    if mark.group()[0] in "。！？；":
        return True
    if _GOES_ON.match(line, mark.end()) or _LIST_NUMBER.fullmatch(line, 0, mark.end()):
        return False
    last_word = line[max(0, mark.end() - _MAX_ABBREVIATION_CHARS) : mark.end()]
    return not (_ABBREVIATION.search(last_word) or (_NUMBERED.search(last_word) and _NUMBER.match(line, mark.end())))


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
    near = [
        i
        for i in np.argsort(-scores, kind="stable")
        if i == best or (sentences[i].source == sentences[best].source and scores[i] >= _SCORE_RATIO * scores[best])
    ]
    chosen = [sentences[i] for i in near[:max_sentences]]
    return sorted(chosen, key=lambda sentence: sentence.citation().start)
