"""Evaluation of rerankers on held-out queries: how high their answers rank, and the scale of the scores."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray
from llms.finetuning.reranker.data import CandidateList
from llms.metrics import first_ranks


def measure_lists(lists: Sequence[CandidateList], logits: FloatArray) -> dict[str, float]:
    """Return MRR@10 and accuracy@1 from the outputs for all candidates of all lists, one after the other."""
    inverse, first = [], []
    start = 0
    for candidates in lists:
        own = logits[None, start : start + len(candidates.documents)]
        start += len(candidates.documents)
        rank = int(first_ranks(own, np.array([candidates.targets]) > 0.5)[0])
        inverse.append(1 / rank if rank <= 10 else 0.0)
        first.append(rank == 1)
    return {"mrr_at_10": float(np.mean(inverse)), "accuracy_at_1": float(np.mean(first))}


def fit_score_scale(logits: FloatArray, targets: FloatArray) -> tuple[float, float]:
    """Return (scale, shift) with which the sigmoid of an output says how often such a candidate is an answer.

    The scale is positive, so no order changes.

    References:
        Platt, "Probabilistic outputs for support vector machines", 1999, with its softened targets.
    """
    from scipy.optimize import minimize

    is_answer = targets > 0.5
    num_right, num_wrong = int(is_answer.sum()), int((~is_answer).sum())
    softened = np.where(is_answer, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        scores = np.exp(parameters[0]) * logits.astype(np.float64) + parameters[1]
        return float((np.logaddexp(0, scores) - softened * scores).mean())

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-7, 7), (-30, 30)])
    return float(np.exp(found.x[0])), float(found.x[1])
