"""Fitting of the answer router on held-out messages: the regression, and the errors it makes at every threshold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chains.customer_service.known_questions import KnownQuestionsFit
from chains.customer_service.routing import (
    AnswerRoute,
    ErrorPoint,
    Evidence,
    Outcome,
    RouteModel,
    RouterOrigin,
    likeliest_routes,
)
from llms.arrays import DoubleArray
from llms.errors import TrainingDataError
from llms.metrics import area_under_risk_coverage, expected_calibration_error

_NUM_FOLDS = 5
_SMALLEST_SPREAD = 1e-3  # a sign that hardly varied is unknown, and divided by its spread it would drown the others
_STRENGTH = 1.0  # inverse of the penalty on weights


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMessage:
    """A held-out message: what the parts say of it, and which of their answers is right.

    Attributes:
        kind: what it is about, such as "intent"; figures are counted by it.
        group: messages that were made of one thing; they are never on both sides of a split.
    """

    evidence: Evidence
    right: Outcome
    kind: str
    group: str


def fit_route_model(
    messages: Sequence[JudgedMessage],
    *,
    origin: RouterOrigin | None = None,
    known_questions: KnownQuestionsFit | None = None,
    seed: int = 0,
) -> RouteModel:
    """Return a route model learnt from all messages, with the errors of models that had not seen each of them.

    Args:
        messages: some that an answer is right for, and some that none is.
        origin: what is kept beside the model about where the messages come from.
        known_questions: what is kept beside it about their threshold.
        seed: deals the groups into folds.

    Raises:
        TrainingDataError: if no message has a right answer, or every message has one.
    """
    rights = {message.right for message in messages}
    if "none" not in rights or len(rights) < 2:
        msg = (
            f"{len(messages)} held-out messages, of which {sum(m.right != 'none' for m in messages)} have a right "
            "answer; a router needs some with one and some without"
        )
        raise TrainingDataError(msg)
    features = np.stack([message.evidence.features() for message in messages])
    expected = np.array([message.right for message in messages])
    folds = _deal(messages, seed)
    choices: list[tuple[AnswerRoute | None, float]] = [(None, 0.0)] * len(messages)
    for fold in range(_NUM_FOLDS):
        asked, learnt = np.flatnonzero(folds == fold).tolist(), np.flatnonzero(folds != fold)
        if asked and len(set(expected[learnt])) > 1 and "none" in expected[learnt]:
            model = _fit(features[learnt], expected[learnt])
            found = likeliest_routes(model, [messages[index].evidence for index in asked])
            for index, choice in zip(asked, found, strict=True):
                choices[index] = choice
    fitted = _fit(features, expected)
    probabilities = np.array([probability for _, probability in choices])
    is_right = np.array([route == right for (route, _), right in zip(choices, expected, strict=True)])
    metrics = {
        "calibration_error": expected_calibration_error(probabilities, is_right),
        "area_under_risk_coverage": area_under_risk_coverage(probabilities, is_right),
    }
    return fitted.model_copy(
        update={
            "origin": origin or RouterOrigin(),
            "num_messages": len(messages),
            "kinds": dict(Counter(message.kind for message in messages)),
            "known_questions": known_questions,
            "curve": error_curve(choices, expected.tolist()),
            "metrics": {name: round(float(value), 6) for name, value in metrics.items()},
        }
    )


def error_curve(
    choices: Sequence[tuple[AnswerRoute | None, float]], expected: Sequence[Outcome]
) -> tuple[ErrorPoint, ...]:
    """Return how many messages are answered right and wrong from each probability on, by descending threshold.

    Args:
        choices: the likeliest route of each message and its probability.
        expected: the route whose answer is right, for each message.
    """
    answered = [
        (probability, route == right)
        for (route, probability), right in zip(choices, expected, strict=True)
        if route is not None
    ]
    points: list[ErrorPoint] = []
    right = wrong = 0
    for probability, is_right in sorted(answered, key=lambda pair: -pair[0]):
        right, wrong = right + is_right, wrong + (not is_right)
        point = ErrorPoint(threshold=probability, right=right, wrong=wrong)
        if points and points[-1].threshold == probability:  # a threshold cannot part equal ones
            points.pop()
        points.append(point)
    return tuple(points)


def _fit(features: DoubleArray, expected: NDArray[np.str_]) -> RouteModel:
    from sklearn.linear_model import LogisticRegression

    means, scales = features.mean(axis=0), features.std(axis=0)
    scales = np.where(scales >= _SMALLEST_SPREAD, scales, 1.0)
    # an outcome against the others when there are but two: the second's weights are 0 then
    regression = LogisticRegression(C=_STRENGTH, max_iter=2000)
    regression.fit((features - means) / scales, expected)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    outcomes: list[Outcome] = regression.classes_.tolist()
    return RouteModel(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights={outcome: tuple(row.tolist()) for outcome, row in zip(outcomes, coefficients, strict=True)},
        intercepts=dict(zip(outcomes, intercepts.tolist(), strict=True)),
        num_messages=len(features),
        curve=(),
    )


def _deal(messages: Sequence[JudgedMessage], seed: int) -> NDArray[np.int64]:
    """Return the fold of each message: the groups of a kind one after the other, in an order drawn once."""
    fold_of: dict[str, int] = {}
    for kind in sorted({message.kind for message in messages}):
        groups = sorted({message.group for message in messages if message.kind == kind} - set(fold_of))
        drawn = np.random.default_rng(seed).permutation(len(groups))
        fold_of |= {groups[place]: turn % _NUM_FOLDS for turn, place in enumerate(drawn.tolist())}
    return np.array([fold_of[message.group] for message in messages])
