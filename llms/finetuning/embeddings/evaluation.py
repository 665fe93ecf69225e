"""Evaluation of embeddings on held-out texts: how high answers rank, or how cosines follow given scores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llms.arrays import BoolArray, FloatArray
from llms.finetuning.data.pair_relations import KnownPositives, same_text, unique_texts
from llms.finetuning.data.pairs import TextPair
from llms.finetuning.data.splits import draw
from llms.metrics import first_ranks

_MAX_DOCUMENTS = 2000  # all are embedded anew at each evaluation


@dataclass(frozen=True, slots=True)
class EvaluatedText:
    """A text to be embedded, and which row of the evaluated vectors it becomes."""

    text: str
    role: Literal["query", "document"]
    row: int


class Evaluator(ABC):
    """Decides which weights are kept.

    Attributes:
        texts: all that must be embedded, long ones first within their role.
        metric: the figure that decides, a key of `measure`'s; more is better.
    """

    texts: list[EvaluatedText]
    metric: str

    @abstractmethod
    def measure(self, vectors: FloatArray) -> dict[str, float]:
        """Return figures from the unit vectors of all texts, (texts, dimension), in the order of their rows."""


class RankingEvaluator(Evaluator):
    """Held-out queries among documents: how high the first answer of each stands."""

    metric = "mrr_at_10"

    def __init__(self, texts: list[EvaluatedText], relevant: BoolArray, hidden: BoolArray) -> None:
        self.texts = texts
        self.num_queries = len(relevant)
        self.relevant = relevant  # (queries, documents)
        self.hidden = hidden  # (queries, documents): not ranked, such as the query itself

    def measure(self, vectors: FloatArray) -> dict[str, float]:
        """Return MRR@10 and accuracy@1: the mean inverse rank of the first answer, the share with one in front."""
        cosines = vectors[: self.num_queries] @ vectors[self.num_queries :].T
        ranks = first_ranks(np.where(self.hidden, -np.inf, cosines), self.relevant)
        return {
            "mrr_at_10": float(np.where(ranks <= 10, 1 / ranks, 0.0).mean()),
            "accuracy_at_1": float((ranks == 1).mean()),
        }


class ScoreEvaluator(Evaluator):
    """Held-out pairs with scores: how well the cosines have their order."""

    metric = "spearman"

    def __init__(self, pairs: Sequence[TextPair]) -> None:
        self.texts = _to_texts([pair.query for pair in pairs], [pair.document for pair in pairs])
        self.scores = np.array([1.0 if pair.score is None else pair.score for pair in pairs])

    def measure(self, vectors: FloatArray) -> dict[str, float]:
        """Return Spearman's rank correlation of cosines and scores, and their mean absolute difference."""
        from scipy.stats import spearmanr

        num_pairs = len(self.scores)
        cosines = (vectors[:num_pairs] * vectors[num_pairs:]).sum(axis=1)
        # without any spread there is no order to follow
        has_order = bool(np.ptp(self.scores) and np.ptp(cosines))
        correlation = float(spearmanr(self.scores, cosines).statistic) if has_order else 0.0
        return {"spearman": correlation, "mean_error": float(np.abs(cosines - self.scores).mean())}


def evaluator_of_pairs(
    held_out: Sequence[TextPair], kept: Sequence[TextPair], known: KnownPositives, *, seed: int
) -> Evaluator:
    """Return the evaluator of held-out pairs: their queries among the documents of both sides.

    Of the kept documents so many are drawn that there are 2,000 in all.
    """
    queries = unique_texts(pair.query for pair in held_out if pair.is_positive)
    own = unique_texts(text for pair in held_out for text in (pair.document, *pair.hard_negatives))
    others = sorted(unique_texts(pair.document for pair in kept), key=lambda text: draw(seed, text))
    documents = unique_texts([*own, *others])[: max(len(own), _MAX_DOCUMENTS)]
    column_of = {same_text(document): column for column, document in enumerate(documents)}
    relevant = np.zeros((len(queries), len(documents)), dtype=np.bool_)
    hidden = np.zeros_like(relevant)
    for row, query in enumerate(queries):
        relevant[row, [column_of[text] for text in known.answers_to(query) if text in column_of]] = True
        if (itself := column_of.get(same_text(query))) is not None:
            hidden[row, itself] = not relevant[row, itself]
    return RankingEvaluator(_to_texts(queries, documents), relevant, hidden)


def evaluator_of_labels(
    held_out: Sequence[tuple[str, str]], kept: Sequence[tuple[str, str]], *, seed: int
) -> Evaluator:
    """Return the evaluator of held-out (text, label): whether texts of their label are nearest, of both sides."""
    others = sorted(kept, key=lambda row: draw(seed, row[0]))
    rows = [*held_out, *others][: max(len(held_out), _MAX_DOCUMENTS)]
    texts, labels = np.array([same_text(text) for text, _ in rows]), np.array([label for _, label in rows])
    num_asked = len(held_out)
    is_itself = texts[:num_asked, None] == texts[None, :]
    relevant = (labels[:num_asked, None] == labels[None, :]) & ~is_itself
    found = np.flatnonzero(relevant.any(axis=1))  # a label whose other texts were not drawn cannot be found
    queries = [held_out[int(row)][0] for row in found]
    # texts with labels have one role, and stand on both sides
    texts_of_both = _to_texts(queries, [text for text, _ in rows], query_role="document")
    return RankingEvaluator(texts_of_both, relevant[found], is_itself[found])


def _to_texts(
    queries: Sequence[str], documents: Sequence[str], *, query_role: Literal["query", "document"] = "query"
) -> list[EvaluatedText]:
    first = [EvaluatedText(text, query_role, row) for row, text in enumerate(queries)]
    second = [EvaluatedText(text, "document", len(queries) + row) for row, text in enumerate(documents)]
    return [text for part in (first, second) for text in sorted(part, key=lambda text: -len(text.text))]
