"""Answer router: approved answer, known answer, article or none of them, decided together on one calibrated scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict, Field, model_validator

from chains.customer_service.intent_examples import ExampleCloseness, IntentExamples
from chains.customer_service.known_questions import KnownMatch, KnownQuestionsFit
from llms import Classification
from llms.arrays import DoubleArray
from llms.errors import OptionValueError
from llms.field_errors import read_validated
from llms.files import replace_text
from llms.metrics import clopper_pearson_upper_bound

AnswerRoute = Literal["template", "curated", "answer"]
Outcome = AnswerRoute | Literal["none"]  # "none": no answer there is is right
OUTCOMES: tuple[Outcome, ...] = (*get_args(AnswerRoute), "none")
FEATURE_NAMES = (
    "intent_log_odds",
    "intent_margin",
    "in_scope",
    "example_nearest",
    "example_own",
    "example_agreement",
    "known_relevance",
    "known_margin",
    "passage_relevance",
    "quote_closeness",
)
_MIN_PROBABILITY = 0.005  # log odds beyond it say how sharp a model is, not how often it is right


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the classifier, the known questions and the search say of one message.

    Attributes:
        match: the most similar known question, or None where there are none.
        passages: what the search found, most relevant first.
        has_template: whether the likeliest intent has an approved answer.
        examples: how the message lies among the training texts of the intents.
        quote: how near the best sentence of the article is to the message; see `quote_closeness`.
    """

    guess: Classification
    match: KnownMatch | None
    passages: Sequence[Document]
    has_template: bool
    examples: ExampleCloseness = field(default_factory=ExampleCloseness)
    quote: float = 0.0

    @property
    def available(self) -> tuple[AnswerRoute, ...]:
        """The routes that have an answer to give."""
        is_there = (self.has_template, self.match is not None, bool(self.passages))
        return tuple(route for route, there in zip(get_args(AnswerRoute), is_there, strict=True) if there)

    @property
    def source(self) -> str | None:
        """The article of the most relevant passage."""
        return _source(self.passages[0]) if self.passages else None

    def answering_passages(self) -> list[Document]:
        """Return the passages of that article: an answer shall rest on what was judged."""
        return passages_of_first_source(self.passages)

    def features(self) -> DoubleArray:
        """Return the numbers named by `FEATURE_NAMES`; those of a part that is not there are 0."""
        guess, match = self.guess, self.match
        probability = min(max(guess.probability, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)
        return np.array(
            [
                np.log(probability / (1 - probability)),
                guess.margin,
                guess.in_scope,
                self.examples.nearest,
                self.examples.own,
                self.examples.agreement,
                match.relevance if match else 0.0,
                match.margin if match else 0.0,
                float(self.passages[0].metadata.get("relevance", 0.0)) if self.passages else 0.0,
                self.quote,
            ]
        )


class RouterOrigin(BaseModel):
    """What a router was fitted on.

    Attributes:
        encoder: fingerprint of the workspace's encoder.
        intent_model: sha256 of the rows that the intent model learnt.
        records: sha256 of the approved answers and known questions.
        knowledge: sha256 of all passages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = ""
    intent_model: str = ""
    records: str = ""
    knowledge: str = ""


class ErrorPoint(BaseModel):
    """How many held-out messages would be answered, right and wrong, at one threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    right: int
    wrong: int


class AnswerBudget(BaseModel):
    """The threshold for a budget of wrong answers, and what the held-out messages prove of it.

    Attributes:
        wrong_bound: upper end of the one-sided Clopper-Pearson interval of the wrong share, at `confidence`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float
    confidence: float
    threshold: float
    num_messages: int
    right_share: float
    wrong_share: float
    wrong_bound: float

    @property
    def is_proven(self) -> bool:
        """Whether the bound keeps to the budget; too few messages prove nothing, however few are wrong."""
        return self.wrong_bound <= self.budget


class RouteModel(BaseModel):
    """Multinomial logistic regression over the signs of one message, and what it did on messages it had not seen.

    Stored as readable JSON. The probability of a route is that its answer is right; those of all routes and of "none"
    sum to 1, so that a template, a known answer and an article are compared on one scale.

    Attributes:
        weights: for each outcome, one for each feature; an outcome that no held-out message had is not there.
        curve: by descending threshold; from it the threshold of any budget is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    origin: RouterOrigin = RouterOrigin()
    feature_names: tuple[str, ...] = FEATURE_NAMES
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: Mapping[Outcome, tuple[float, ...]]
    intercepts: Mapping[Outcome, float]
    num_messages: int
    kinds: Mapping[str, int] = Field(default_factory=dict, description="How many held-out messages of each kind.")
    curve: tuple[ErrorPoint, ...]
    metrics: Mapping[str, float] = Field(default_factory=dict, description="On the held-out messages.")
    known_questions: KnownQuestionsFit | None = None

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        if self.feature_names != FEATURE_NAMES:
            msg = f"it was fitted on other signs ({', '.join(self.feature_names)}); fit it again"
            raise ValueError(msg)
        lengths = {len(self.means), len(self.scales), *map(len, self.weights.values())}
        if lengths != {len(FEATURE_NAMES)} or set(self.weights) != set(self.intercepts) or "none" not in self.weights:
            msg = f"means, scales and weights need {len(FEATURE_NAMES)} numbers each, and an outcome none; fit it again"
            raise ValueError(msg)
        if min(self.scales) <= 0:
            msg = f"every scale must be positive, got {min(self.scales)}"
            raise ValueError(msg)
        return self

    def has_learnt(self, route: AnswerRoute) -> bool:
        """Return whether any held-out message was answered right by this route; if not, it is never chosen."""
        return route in self.weights

    def predict(self, features: DoubleArray) -> dict[Outcome, DoubleArray]:
        """Return the probability of each outcome, (messages,); (messages, features) in."""
        from scipy.special import softmax

        standard = (features - np.array(self.means)) / np.array(self.scales)
        outcomes = list(self.weights)
        weights = np.array([self.weights[outcome] for outcome in outcomes])  # (outcomes, features)
        logits = standard @ weights.T + np.array([self.intercepts[outcome] for outcome in outcomes])
        return dict(zip(outcomes, softmax(logits, axis=1).T, strict=True))

    def budget(self, wrong_share: float, *, confidence: float = 0.95) -> AnswerBudget:
        """Return the lowest threshold whose wrong answers stay under a budget, shown on held-out messages.

        Thresholds are tried from the strictest downwards, and the first that is not proven ends the search, so that
        the confidence holds although many are tried. Where there are too few messages to prove anything, the
        threshold is the lowest at which none of them was answered wrong, and the bound says how little that proves.

        Raises:
            OptionValueError: if `wrong_share` is not in (0, 1).

        References:
            Angelopoulos et al., "Learn then test", 2021, fixed-sequence testing.
        """
        if not 0 < wrong_share < 1:
            msg = f"the budget of wrong answers must lie between 0 and 1, got {wrong_share}"
            raise OptionValueError(msg)
        chosen = ErrorPoint(threshold=1.0, right=0, wrong=0)
        for point in self.curve:
            bound = clopper_pearson_upper_bound(point.wrong, self.num_messages, confidence)
            if point.wrong and bound > wrong_share:
                break
            chosen = point
        return AnswerBudget(
            budget=wrong_share,
            confidence=confidence,
            threshold=chosen.threshold,
            num_messages=self.num_messages,
            right_share=chosen.right / self.num_messages,
            wrong_share=chosen.wrong / self.num_messages,
            wrong_bound=clopper_pearson_upper_bound(chosen.wrong, self.num_messages, confidence),
        )

    def save(self, path: Path) -> None:
        """Write the model to one JSON file, which is there whole or, after an error, as it was before.

        Raises:
            OSError: if it cannot be written.
        """
        replace_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the model saved at `path`.

        Raises:
            ModelFolderError: if the file is missing, is no such JSON, or was fitted on other signs.
        """
        return read_validated(cls, path, fault="is no answer router")


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The route whose answer is most probably right.

    Attributes:
        route: None where no route has an answer to give.
        probability: that its answer is right.
        accepted: whether that is enough for the budget of wrong answers.
    """

    route: AnswerRoute | None
    probability: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class AnswerRouter:
    """A fitted route model with the threshold of a budget, and the texts that messages are compared with."""

    model: RouteModel
    budget: AnswerBudget
    examples: IntentExamples

    def choose(self, evidence: Evidence) -> RouteChoice:
        """Return the likeliest route among those that have an answer to give."""
        return self.batch_choose([evidence])[0]

    def batch_choose(self, messages: Sequence[Evidence]) -> list[RouteChoice]:
        """Return `choose` of each message."""
        choices = likeliest_routes(self.model, messages)
        return [
            RouteChoice(route, probability, route is not None and probability >= self.budget.threshold)
            for route, probability in choices
        ]


def likeliest_routes(model: RouteModel, messages: Sequence[Evidence]) -> list[tuple[AnswerRoute | None, float]]:
    """Return for each message the route that is right most probably, among those that have an answer, and how so."""
    if not messages:
        return []
    probabilities = model.predict(np.stack([evidence.features() for evidence in messages]))
    chosen: list[tuple[AnswerRoute | None, float]] = []
    for row, evidence in enumerate(messages):
        known = [(float(probabilities[route][row]), route) for route in evidence.available if route in probabilities]
        probability, route = max(known, key=lambda pair: pair[0], default=(0.0, None))
        chosen.append((route, probability))
    return chosen


def passages_of_first_source(passages: Sequence[Document]) -> list[Document]:
    """Return the passages that stand in the article of the first one."""
    return [passage for passage in passages if _source(passage) == _source(passages[0])]


def _source(passage: Document) -> str:
    return str(passage.metadata.get("source", passage.id or "unknown"))
