"""Known questions with their curated answers, matched by meaning above a threshold with a stated error budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, ConfigDict, Field, field_validator

from chains.errors import ChainInputError
from llms.arrays import FloatArray
from llms.errors import OptionValueError
from llms.metrics import clopper_pearson_upper_bound
from retrievers import FaissStore, HybridRetriever

_GROUP = "known_question"
_ROW = "row"
# how a match is scored; docs/benchmarks/customer_service.md says how this was chosen
_WORD_WEIGHT = 0.15  # questions share fewer words with their wordings than passages do with questions
_NUM_OTHERS = 10
_MARGIN_WEIGHT = 2.0


class KnownQuestion(BaseModel):
    """A question that was answered once and for all.

    Attributes:
        id: how it is called in records and citations.
        question: as a customer may ask it.
        answer: what is sent.
        wordings: the same question in other words; each makes it easier to find.
        about: further texts about it, such as longer explanations; they help to find it and are never sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    question: str
    answer: str
    wordings: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @field_validator("question", "answer")
    @classmethod
    def _is_written(cls, text: str) -> str:
        if not text.strip():
            msg = "is empty; write the text or leave the entry out"
            raise ValueError(msg)
        return text


@dataclass(frozen=True, slots=True)
class KnownMatch:
    """The known question that is most like a message.

    Attributes:
        relevance: how alike, in [0, 1].
        margin: how much more relevant it is than the ten next ones are on average, in [0, 1]. A message that many
            questions resemble asks none of them.
        accepted: whether `score` is enough to send its answer.
    """

    question: KnownQuestion
    relevance: float
    margin: float
    accepted: bool

    @property
    def score(self) -> float:
        """Relevance plus twice the margin, in [0, 3]: what is compared with the threshold."""
        return _score(self.relevance, self.margin)


class KnownQuestions:
    """A book of known questions that can be searched.

    Each is found by its question, its other wordings, and its answer below the question; the two best of these
    speak for it, see `HybridRetriever.group_by`.

    Args:
        questions: at least one, each with an id of its own.
        embeddings: turns texts into vectors.
        min_score: the least `KnownMatch.score` of an accepted match, in [0, 3]; see `fit_known_questions`.
        vectors: what `vectors` of a book with the same questions and embeddings was, so that nothing is embedded.

    Raises:
        ChainInputError: if there is no question, or two have one id.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> book = KnownQuestions(
        ...     [KnownQuestion(id="gift", question="Do gift cards expire?", answer="After five years.")],
        ...     embeddings=HashedEmbeddings(), min_score=0.5)
        >>> match = book.match("do gift cards expire")
        >>> match.question.answer, match.accepted
        ('After five years.', True)
    """

    def __init__(
        self,
        questions: Sequence[KnownQuestion],
        *,
        embeddings: Embeddings,
        min_score: float = 1.5,
        vectors: FloatArray | None = None,
    ) -> None:
        if not questions:
            msg = "there is no known question; pass at least one, or no book at all"
            raise ChainInputError(msg)
        self.questions: Mapping[str, KnownQuestion] = {question.id: question for question in questions}
        if len(self.questions) < len(questions):
            msg = "two known questions have one id; give each its own"
            raise ChainInputError(msg)
        self.min_score = min_score
        rows = [(question.id, index, text) for question in questions for index, text in enumerate(_texts(question))]
        texts = [text for _, _, text in rows]
        if vectors is None:
            vectors = np.asarray(embeddings.embed_documents(texts), dtype=np.float32)
        self.vectors = vectors  # (texts, dimension) float32
        store = FaissStore(embedding=embeddings)
        store.add_vectors(
            texts,
            vectors,
            [{_GROUP: name, _ROW: f"{name}/{index}"} for name, index, _ in rows],
            ids=[f"{name}/{index}" for name, index, _ in rows],
        )
        self._retriever = HybridRetriever(store=store, k=1 + _NUM_OTHERS, group_by=_GROUP, word_weight=_WORD_WEIGHT)

    def match(self, message: str) -> KnownMatch:
        """Return the known question most like `message`."""
        return self.batch_match([message])[0]

    def batch_match(self, messages: Sequence[str]) -> list[KnownMatch]:
        """Return `match` of each message, in one search."""
        found = self._retriever.batch(list(messages))
        return [match for documents in found if (match := self._as_match(documents))]

    def match_without(self, messages: Sequence[str], id_: str) -> list[KnownMatch]:
        """Return the matches as if the question `id_` were not in the book; empty if it is the only one."""
        found = self._retriever.batch(list(messages), filter={_GROUP: {"$ne": id_}})
        return [match for documents in found if (match := self._as_match(documents))]

    def match_wordings(self, id_: str) -> list[KnownMatch]:
        """Return what each wording of the question `id_` matches where it is not in the book itself."""
        found = [
            self._retriever.invoke(wording, filter={_ROW: {"$ne": f"{id_}/{index}"}})
            for index, wording in enumerate(self.questions[id_].wordings, start=1)  # the question itself is row 0
        ]
        return [match for documents in found if (match := self._as_match(documents))]

    def as_runnable(self) -> Runnable[str, KnownMatch]:
        """Return `match` as a LangChain Runnable, as the chain takes it."""
        return RunnableLambda(self.match, name="known_questions")

    def _as_match(self, found: Sequence[Document]) -> KnownMatch | None:
        if not found:
            return None
        first, *others = [float(document.metadata["relevance"]) for document in found]
        margin = first - (sum(others) / len(others) if others else 0.0)
        is_accepted = _score(first, margin) >= self.min_score
        return KnownMatch(self.questions[found[0].metadata[_GROUP]], first, margin, is_accepted)


class KnownQuestionsFit(BaseModel):
    """The threshold of known questions, and what the messages it was fitted on prove of its budget.

    Attributes:
        budget: the largest share of false hits that was asked for.
        false_hit_bound: as in `FittedQuestions`, at `confidence`.
        num_messages: as in `FittedQuestions`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float
    confidence: float
    min_score: float
    false_hit_rate: float
    false_hit_bound: float
    hit_rate: float
    num_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedQuestions:
    """A book whose threshold keeps to an error budget, and what it did on the messages it was fitted on.

    Attributes:
        false_hit_rate: share of messages that get an answer although their question was taken out of the book, or
            although they are out of scope.
        false_hit_bound: one-sided Clopper-Pearson bound on it, at `confidence`; above the budget where there are too
            few messages to prove that.
        hit_rate: share of messages that got the answer of their own question.
        num_messages: how many messages with a question there were.
    """

    book: KnownQuestions
    false_hit_rate: float
    false_hit_bound: float
    hit_rate: float
    confidence: float
    num_messages: int

    def report(self, budget: float) -> KnownQuestionsFit:
        """Return the figures as they are kept and shown."""
        return KnownQuestionsFit(
            budget=budget,
            confidence=self.confidence,
            min_score=self.book.min_score,
            false_hit_rate=self.false_hit_rate,
            false_hit_bound=self.false_hit_bound,
            hit_rate=self.hit_rate,
            num_messages=self.num_messages,
        )


def fit_known_questions(
    questions: Sequence[KnownQuestion],
    *,
    embeddings: Embeddings,
    asked: Sequence[tuple[str, str]] = (),
    out_of_scope: Sequence[str] = (),
    budget: float = 0.02,
    confidence: float = 0.95,
) -> FittedQuestions:
    """Return a book with the lowest threshold whose false hits stay under `budget`, shown by leaving questions out.

    A message whose own question is taken out of the book has no right answer there, so whatever it still matches is
    a false hit; a small book should be shown `out_of_scope` messages beside.

    Args:
        questions: the book.
        embeddings: turns texts into vectors.
        asked: messages of customers with the id of their question. Without any, the questions and wordings of the
            book stand for them, which tells nothing of the hit rate: each finds itself.
        out_of_scope: messages that ask none of the questions, such as those of the intents; whatever they match is a
            false hit, too.
        budget: the largest share of false hits, in (0, 1).
        confidence: of the bound, in (0, 1).

    Raises:
        ChainInputError: if a message names a question that is not in the book.
        OptionValueError: if `budget` or `confidence` is not in (0, 1).

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 1934.
    """
    for name, value in (("budget", budget), ("confidence", confidence)):
        if not 0 < value < 1:
            msg = f"{name} must lie between 0 and 1, got {value}"
            raise OptionValueError(msg)
    book = KnownQuestions(questions, embeddings=embeddings)
    if unknown := sorted({id_ for _, id_ in asked} - set(book.questions)):
        msg = f"a message names the question {unknown[0]!r}, which is not in the book; add it, or leave the message out"
        raise ChainInputError(msg)
    messages = list(asked) or [(text, q.id) for q in questions for text in (q.question, *q.wordings)]
    scores = [*_scores_without_own(book, messages), *(match.score for match in book.batch_match(out_of_scope))]
    false_hits = sorted(scores, reverse=True)
    allowed = _most_false_hits(len(false_hits), budget=budget, confidence=confidence)
    # just above the first that may not match; equal scores cannot be parted
    book.min_score = false_hits[allowed] + 1e-6
    num_false = sum(score >= book.min_score for score in false_hits)
    matches = zip(book.batch_match([text for text, _ in messages]), messages, strict=True)
    return FittedQuestions(
        book=book,
        false_hit_rate=num_false / len(false_hits),
        false_hit_bound=clopper_pearson_upper_bound(num_false, len(false_hits), confidence),
        hit_rate=sum(match.accepted and match.question.id == id_ for match, (_, id_) in matches) / len(messages),
        confidence=confidence,
        num_messages=len(messages),
    )


def _scores_without_own(book: KnownQuestions, messages: Sequence[tuple[str, str]]) -> list[float]:
    """Return the scores of what each message matches without its own question."""
    by_question: dict[str, list[str]] = {}
    for text, id_ in messages:
        by_question.setdefault(id_, []).append(text)
    scores = []
    for id_, texts in by_question.items():
        matches = book.match_without(texts, id_)
        scores += [match.score for match in matches] or [0.0] * len(texts)
    return scores


def _score(relevance: float, margin: float) -> float:
    return relevance + _MARGIN_WEIGHT * margin


def _most_false_hits(count: int, *, budget: float, confidence: float) -> int:
    """Return how many of `count` messages may match falsely so that the bound keeps to the budget; at least none."""
    allowed = 0
    while allowed + 1 < count and clopper_pearson_upper_bound(allowed + 1, count, confidence) <= budget:
        allowed += 1
    return allowed


def _texts(question: KnownQuestion) -> list[str]:
    bodies = [f"{question.question}\n\n{text}" for text in (question.answer, *question.about)]
    return [question.question, *question.wordings, *bodies]
