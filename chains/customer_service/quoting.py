"""Sentences of retrieved passages: the best ones to quote, each with its exact place in its article."""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.customer_service.schema import Citation
from llms import RecentVectors, above_floor, find_cosine_floor
from llms.arrays import FloatArray
from llms.texts import is_chinese, split_sentences
from retrievers import keyword_terms

_LINE = re.compile(r"[^\n]+")
_NOT_QUOTED = re.compile(r"#{1,6}(\s|$)|\|[\s:|-]+\|?$|```|~~~")
_TABLE_RULE = re.compile(r"[ \t]*\|[ \t:|-]*-[ \t:|-]*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CELL_END = re.compile(r"(?<!\\)\|")
_WORD_WEIGHT = 0.5
_NUM_COMPARED = 5  # as good as twelve on public sets; four lose half a point
_SCORE_RATIO = 0.85  # further sentences must come this near to the best one


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the place of its passage."""

    text: str
    passage: Document
    offset: int  # where it begins in the passage's text
    columns: str = ""  # of the row of a table: the header of that table
    is_header: bool = False  # the row that names the columns, which says nothing by itself

    @property
    def source(self) -> str:
        """The article it stands in."""
        return str(self.passage.metadata.get("source", self.passage.id or "unknown"))

    @property
    def shown(self) -> str:
        r"""The sentence for a reader: in the row of a table each cell is named by its column.

        Example:
            >>> Sentence("| Larch | 4.7 |", Document(""), 0, columns="| Lamp | weight in kg |").shown
            'Lamp: Larch; weight in kg: 4.7.'
            >>> Sentence("| Weight | 4.7 kg |", Document(""), 0, columns="|  |  |").shown
            'Weight: 4.7 kg.'
        """
        if not self.columns:
            return self.text
        names, cells = _cells(self.columns), _cells(self.text)
        if len(cells) == 2 and not any(names):  # the row names its own value
            names, cells = cells[:1], cells[1:]
        pairs = itertools.zip_longest(names, cells, fillvalue="")
        colon, gap, end = ("：", "；", "。") if is_chinese("".join(names), min_share=0.3) else (": ", "; ", ".")
        named = (f"{name}{colon}{cell}" if name else cell for name, cell in pairs if cell)
        return f"{gap.join(named)}{end}"

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
    columns, row_end = "", -1
    for line in _LINE.finditer(content):  # the header of a table may stand before the body
        text = line.group().strip()
        is_header = False
        if text.startswith("|"):
            is_header = bool(_TABLE_RULE.fullmatch(content, line.end() + 1, _line_end(content, line.end() + 1)))
            columns = "" if is_header or line.start() > row_end + 1 else columns
            row_end = line.end()
        if line.start() >= body_start and text and not _NOT_QUOTED.match(text):
            yield from _sentences_of_line(passage, line, columns=columns, is_header=is_header)
        columns = text if is_header else columns


def _sentences_of_line(passage: Document, line: re.Match[str], *, columns: str, is_header: bool) -> Iterator[Sentence]:
    text = line.group().strip()
    first = line.start() + line.group().index(text)
    span = (first, first + len(text))
    if text.startswith("|"):
        yield Sentence(text, passage, first, columns, is_header)
        return
    for start, end in split_sentences(passage.page_content, span, at_semicolons=True):
        yield Sentence(passage.page_content[start:end], passage, start)


def _line_end(content: str, start: int) -> int:
    end = content.find("\n", start)
    return len(content) if end < 0 else end


def _cells(row: str) -> list[str]:
    """Return the texts of a row's cells."""
    cells = [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(row.strip())[1:]]
    return cells[:-1] if cells and not cells[-1] else cells


@functools.lru_cache(maxsize=10_000)  # about 1 KB each
def _words(text: str) -> frozenset[str]:
    return frozenset(keyword_terms(text))


@functools.lru_cache(maxsize=10_000)
def _row_words(text: str) -> frozenset[str]:
    """Return the words of a row with its numbers whole: row 13 is not the one that costs 13.20."""
    return frozenset([*(word for word in _words(text) if not word.isdecimal()), *_NUMBER.findall(text)])


def _without_other_rows(question: str, sentences: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences without headers of tables, and without rows where another row has more of the question.

    Rows of a table are alike but for the words that name them, so only words that are not in its header count.
    """
    asked = _row_words(question)
    num_named = [len((asked - _row_words(sentence.columns)) & _row_words(sentence.text)) for sentence in sentences]
    most: dict[tuple[str, str], int] = {}
    for sentence, num in zip(sentences, num_named, strict=True):
        table = (sentence.source, sentence.columns)
        most[table] = max(most.get(table, 0), num)
    kept = [
        sentence
        for sentence, num in zip(sentences, num_named, strict=True)
        if not sentence.is_header and (not sentence.columns or num == most[sentence.source, sentence.columns])
    ]
    return kept or list(sentences)


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

    def closeness(self, texts: Sequence[str], question: str) -> FloatArray:
        """Return how near each text is to the question: at most 1, and about 0 for what has nothing to do with it."""
        cosines: FloatArray = self.of(texts) @ self.of_question(question)
        return above_floor(cosines, find_cosine_floor(self._embeddings, question))

    def _make(self, texts: list[str]) -> FloatArray:
        return np.asarray(self._embeddings.embed_documents(texts), dtype=np.float32)


def quote_closeness(question: str, passages: Sequence[Document], *, vectors: SentenceVectors) -> float:
    """Return how near the sentence that would be quoted is to the question; 0 where there is none."""
    best = best_sentences(question, passages, vectors=vectors, max_sentences=1)
    return float(vectors.closeness([_with_title(best[0])], question)[0]) if best else 0.0


def best_sentences(
    question: str, passages: Sequence[Document], *, vectors: SentenceVectors, max_sentences: int = 3
) -> list[Sentence]:
    """Return the sentences that answer best, in reading order, all from one article.

    A sentence's score is its closeness to the question, half the share of the question's words in it, and the relevance
    of its passage; sentences are read together with their article's title, since many say "it" for what the title
    names, and rows of tables together with the names of their columns. The closeness is asked for the five that lead by
    words and relevance.
    """
    sentences = _without_other_rows(question, [sentence for passage in passages for sentence in split_passage(passage)])
    if not sentences:
        return []
    texts = [_with_title(sentence) for sentence in sentences]
    words = _words(question)
    shares = np.array([len(words & _words(text)) / max(len(words), 1) for text in texts])
    relevance = np.array([float(sentence.passage.metadata.get("relevance", 0.0)) for sentence in sentences])
    leads = _WORD_WEIGHT * shares + relevance
    leading = np.argsort(-leads, kind="stable")[:_NUM_COMPARED]
    closeness = vectors.closeness([texts[place] for place in leading], question)
    scores = dict(zip(leading.tolist(), (leads[leading] + closeness).tolist(), strict=True))
    best = max(scores, key=scores.__getitem__)
    near = [
        place
        for place in sorted(scores, key=lambda place: -scores[place])
        if place == best
        or (sentences[place].source == sentences[best].source and scores[place] >= _SCORE_RATIO * scores[best])
    ]
    chosen = [sentences[place] for place in near[:max_sentences]]
    return sorted(chosen, key=lambda sentence: sentence.citation().start)


def _with_title(sentence: Sentence) -> str:
    return f"{sentence.passage.metadata.get('title', '')}: {sentence.shown}"
