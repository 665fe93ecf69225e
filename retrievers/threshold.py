"""Relevance threshold, fitted on questions whose right document is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from llms.errors import OptionValueError
from llms.metrics import clopper_pearson_lower_bound
from retrievers.errors import ThresholdError


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question and the document that answers it.

    Attributes:
        document_id: id of the right document, or what `id_field` of its metadata holds; None if nothing in the
            store answers the question.
    """

    text: str
    document_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedThreshold:
    """A least relevance, and what it did on the questions it was fitted on.

    Attributes:
        min_relevance: answer from documents that are at least this relevant, in [0, 1].
        precision: share of the answered questions whose first document was the right one.
        precision_lower_bound: one-sided Clopper-Pearson bound on it, at `confidence`. The threshold was chosen on
            the same questions, so the bound is somewhat too kind; only fresh questions give an honest one.
        coverage: share of all questions that were answered.
        num_answered: how many that are.
        num_questions: how many there were, those without a right document included.
    """

    min_relevance: float
    precision: float
    precision_lower_bound: float
    confidence: float
    coverage: float
    num_answered: int
    num_questions: int


def fit_min_relevance(
    retriever: BaseRetriever,
    questions: Sequence[LabelledQuestion],
    *,
    precision: float = 0.95,
    confidence: float = 0.95,
    id_field: str | None = None,
) -> FittedThreshold:
    """Return the lowest relevance at which at least `precision` of the answered questions are answered right.

    A question counts as answered if the first document found is at least so relevant, and as right if it is the
    labelled one. Questions that nothing in the store answers (None) belong among them: without any, the threshold
    knows only confused documents, not questions about something else.

    Args:
        retriever: gives its documents the metadata `relevance`, as `HybridRetriever` does; without a least relevance
            of its own.
        precision: share of the answered questions that has to be right, in (0, 1).
        confidence: of the lower bound, in (0, 1).
        id_field: the metadata field to compare with the labels, such as "source"; None compares ids.

    Raises:
        ThresholdError: if the questions cannot tell: too few, none answered wrong, or too many answered wrong at any
            relevance; the message says what is missing.
        ValueError: if `precision` or `confidence` is not in (0, 1).

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> from retrievers import FaissStore, HybridRetriever
        >>> store = FaissStore(embedding=HashedEmbeddings())
        >>> _ = store.add_texts(["wash shoes", "charge phones"], ids=["shoes", "phones"])
        >>> asked = [("how to wash shoes", "shoes"), ("how to charge phones", "phones"), ("what is love", None)]
        >>> questions = [LabelledQuestion(text, document_id) for text, document_id in asked]
        >>> fitted = fit_min_relevance(HybridRetriever(store=store), questions, precision=0.5)
        >>> fitted.num_answered, fitted.num_questions, round(fitted.precision, 2)
        (3, 3, 0.67)

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 1934.
    """
    for name, value in (("precision", precision), ("confidence", confidence)):
        if not 0 < value < 1:
            msg = f"{name} must lie between 0 and 1, got {value}"
            raise OptionValueError(msg)
    if getattr(retriever, "min_relevance", None) is not None:
        msg = "the retriever already leaves out what is less relevant; fit with min_relevance=None"
        raise ThresholdError(msg)
    _check_labels(questions, precision)
    found = retriever.batch([question.text for question in questions])
    firsts = [
        (_relevance(documents[0]), _is_right(documents[0], question, id_field))
        for question, documents in zip(questions, found, strict=True)
        if documents
    ]
    relevance, num_answered, num_right = _lowest(firsts, precision)
    return FittedThreshold(
        min_relevance=relevance,
        precision=num_right / num_answered,
        precision_lower_bound=clopper_pearson_lower_bound(num_right, num_answered, confidence),
        confidence=confidence,
        coverage=num_answered / len(questions),
        num_answered=num_answered,
        num_questions=len(questions),
    )


def _check_labels(questions: Sequence[LabelledQuestion], precision: float) -> None:
    least, labelled = _least_answered(precision), sum(question.document_id is not None for question in questions)
    if labelled < least:
        msg = (
            f"a precision of {precision} needs at least {least} questions with a right document, got {labelled}: "
            "with fewer, one wrong answer decides everything; label more questions"
        )
        raise ThresholdError(msg)


def _least_answered(precision: float) -> int:
    """Return of how many answers one may be wrong."""
    return math.ceil(round(1 / (1 - precision), 6))


def _relevance(document: Document) -> float:
    value = document.metadata.get("relevance")
    if not isinstance(value, int | float):
        msg = f"document {document.id!r} came without a relevance; use a retriever that gives one (HybridRetriever)"
        raise ThresholdError(msg)
    return float(value)


def _is_right(document: Document, question: LabelledQuestion, id_field: str | None) -> bool:
    found = document.id if id_field is None else document.metadata.get(id_field)
    return question.document_id is not None and str(found) == question.document_id


def _lowest(firsts: Sequence[tuple[float, bool]], precision: float) -> tuple[float, int, int]:
    """Return (relevance, answered, right) of the lowest threshold that is precise enough."""
    if not firsts:
        msg = "nothing was found for any question; are there documents in the store, and does its filter match any?"
        raise ThresholdError(msg)
    if all(is_right for _, is_right in firsts):
        msg = (
            f"all {len(firsts)} questions are answered right, so nothing shows where wrong answers begin; "
            "add questions that nothing in the store answers, with None as their document"
        )
        raise ThresholdError(msg)
    best: tuple[float, int, int] | None = None
    most_precise, num_right = 0.0, 0
    ranked = sorted(firsts, reverse=True)
    for num_answered, (relevance, is_right) in enumerate(ranked, start=1):
        num_right += is_right
        if num_answered < len(ranked) and ranked[num_answered][0] == relevance:
            continue  # a threshold cannot part equal ones
        if num_answered >= _least_answered(precision):
            most_precise = max(most_precise, num_right / num_answered)
            if num_right >= precision * num_answered - 1e-9:
                best = (relevance, num_answered, num_right)
    if best is None:
        msg = (
            f"at no relevance are {precision} of at least {_least_answered(precision)} answers right, at most "
            f"{most_precise:.3f} are; lower precision, or check that the labels name documents of this store"
        )
        raise ThresholdError(msg)
    return best
