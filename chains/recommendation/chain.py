"""The recommendation chain: user profile -> candidates -> interest model -> ranking -> reasons."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

from chains.errors import ChainInputError
from chains.recommendation.candidates import collect_candidates
from chains.recommendation.click_model import InterestModel
from chains.recommendation.explanation import ReasonFacts, ReasonPhrases, collect_facts, explain_item
from chains.recommendation.features import BehaviourRecord, FeatureTable, UserScores
from chains.recommendation.item_models import ItemModels, learn_item_models
from chains.recommendation.ranking import RankingOptions, combine_scores, group_parts, select_diverse
from chains.recommendation.schema import RankedItem, Recommendation, RecommendationRequest
from chains.recommendation.user_profile import UserProfile, build_profile
from chains.requests import parse_request
from llms.errors import OptionValueError
from retrievers import (
    CLOCK_TOLERANCE,
    DatedEvent,
    EventWeights,
    Interactions,
    Item,
    ItemCatalogue,
    different_events,
    utc_now,
)

_LASTS = timedelta(minutes=1)  # so long, what is popular and new is taken to stay so


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationOptions:
    """How lists are made; everything about features comes with the interest model."""

    ranking: RankingOptions = field(default_factory=RankingOptions)
    phrases: ReasonPhrases = field(default_factory=ReasonPhrases)
    num_candidates: int = 200  # from each source
    num_cold_candidates: int = 30  # for a newcomer, so that only what is popular or new can come up
    filter_already_seen: bool = True  # what was bought or hidden never comes again, whatever this says
    look_again_days: float = 7.0  # after which what was seen but not bought may come again; infinity: never

    def __post_init__(self) -> None:
        """Refuse a pause that has no meaning."""
        if not self.look_again_days >= 0:
            msg = f"look_again_days must be at least 0, got {self.look_again_days}"
            raise OptionValueError(msg)


def build_recommendation_chain(
    *,
    catalogue: ItemCatalogue,
    embeddings: Embeddings,
    store: VectorStore | None = None,  # noqa: ARG001  # see its description
    interactions: Interactions,
    interest: InterestModel,
    options: RecommendationOptions | None = None,
    item_models: ItemModels | None = None,
    record: BehaviourRecord | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> "Runnable[RecommendationRequest | dict[str, Any], Recommendation]":
    """Return the chain request -> list of items with reasons.

    Without `item_models` these are learnt here, once. A list is made at the moment the clock says: what is new,
    popular and to be had is of then. A replay passes the clock of its own past.

    Args:
        catalogue: what can be recommended.
        embeddings: gives the item vectors.
        store: not asked any more, since the vectors come with the item models; earlier callers may go on passing it.
        interactions: what the models are learnt from.
        interest: the trained model.
        options: how lists are made.
        item_models: what `learn_item_models` returns for the same items, events, embeddings and feature options.
        record: what all users did so far, also since; by default `interactions`.
        clock: returns the present time, with a zone.

    Raises:
        DataFileError: if the interactions name an item the catalogue lacks.
        VectorError: if the embeddings are not one finite vector per item.
        ChainInputError: on invoke, if the request is malformed or brings another user's events.
    """
    axis = Interactions(interactions.events, interactions.weights, items=list(catalogue))
    features = interest.feature_options
    models = item_models or learn_item_models(
        catalogue=catalogue, embeddings=embeddings, interactions=axis, options=features
    )
    chain = _RecommendationChain(
        table=models.make_table(catalogue=catalogue, interactions=axis, options=features, now=clock()),
        record=record or axis,
        weights=axis.weights,
        clock=clock,
        interest=interest,
        options=options or RecommendationOptions(),
    )
    # lists are arithmetic that keeps a core busy: more threads at once would only wait for each other
    lists = RunnableLambda(chain.recommend, name="recommendation").with_config(max_concurrency=1)
    return lists.with_types(input_type=RecommendationRequest, output_type=Recommendation)


@dataclass(slots=True, kw_only=True)
class _RecommendationChain:
    """The parts of a built chain, and the way through them."""

    table: FeatureTable  # of the latest minute that anybody asked in
    record: BehaviourRecord
    weights: EventWeights
    clock: Callable[[], datetime]
    interest: InterestModel
    options: RecommendationOptions

    def recommend(self, message: RecommendationRequest | dict[str, Any]) -> Recommendation:
        """Return the list for one request."""
        request = parse_request(message, RecommendationRequest)
        _refuse_others(request)
        now = self.clock()
        table = self._table_at(now)
        events, num_future = _settle([event for event in request.events if event.item in table.catalogue], now)
        past, _ = _settle([event for event in self.record.history(request.user) if event.item in table.catalogue], now)
        profile = build_profile(request.user, different_events([*past, *events]), self.weights, now)
        user = table.score_user(profile)
        num_wanted = self.options.num_cold_candidates if profile.is_cold else self.options.num_candidates
        rows = collect_candidates(
            table=table,
            user=user,
            allowed=self._find_allowed(table, request, profile, now),
            num_per_source=max(num_wanted, request.k),
        )
        return Recommendation(
            user=request.user,
            items=self._rank(table, rows, user, request.k) if len(rows) else (),
            cold=profile.is_cold,
            unknown_items=_find_unknown(request, table.catalogue),
            num_future_events=num_future,
        )

    def _table_at(self, now: datetime) -> FeatureTable:
        """Return the items as they look now; of a request at the same time as another, either may make the table."""
        table = self.table
        if table.record is not self.record or not timedelta(0) <= now - table.now < _LASTS:
            table = self.table = table.at(now, self.record)
        return table

    def _find_allowed(
        self, table: FeatureTable, request: RecommendationRequest, profile: UserProfile, now: datetime
    ) -> NDArray[np.bool_]:
        blocked = {*request.exclude, *profile.bought, *profile.unwanted}
        if self.options.filter_already_seen:
            pause, day = self.options.look_again_days, timedelta(days=1)
            blocked |= {item for item, time in profile.last_used.items() if (now - time) / day < pause}
        allowed = table.is_available.copy()
        positions = table.catalogue.positions
        allowed[[positions[item] for item in blocked if item in positions]] = False
        if request.max_price is not None:
            allowed &= table.prices <= request.max_price  # NaN, an unknown price, is never below
        return allowed

    def _rank(self, table: FeatureTable, rows: NDArray[np.intp], user: UserScores, k: int) -> tuple[RankedItem, ...]:
        from scipy.special import expit

        ranking = self.options.ranking
        features = table.compute(user, rows)
        weighed = self.interest.weigh(features)  # (rows, num_features)
        log_odds = weighed.sum(axis=1) + self.interest.intercept
        scores = combine_scores(log_odds, features, ranking)
        probabilities = expit(scores)
        pool = np.argsort(-scores, kind="stable")[: max(ranking.pool_size, k)]
        # probabilities, not log-odds: far-off best items keep their ranks and variety moves those that hardly differ
        ranks = select_diverse(probabilities[pool], table.vectors[rows[pool]], k=k, diversity=ranking.diversity)
        chosen = pool[ranks]
        parts = group_parts(weighed[chosen], features[chosen], ranking)
        return tuple(
            self._describe(
                table.items[rows[at]],
                score=float(probabilities[at]),
                interest=float(expit(log_odds[at])),
                added={part: float(values[rank]) for part, values in parts.items()},
                facts=collect_facts(table, user.profile, int(rows[at]), features[at]),
            )
            for rank, at in enumerate(chosen.tolist())
        )

    def _describe(
        self, item: Item, *, score: float, interest: float, added: Mapping[str, float], facts: ReasonFacts
    ) -> RankedItem:
        rounded = {part: round(value, 4) for part, value in added.items()}
        return RankedItem(
            id=item.id,
            title=item.title,
            score=score,
            reason=explain_item(rounded, facts, phrases=self.options.phrases),
            parts={"interest": round(interest, 4), **rounded},
        )


def _refuse_others(request: RecommendationRequest) -> None:
    others = sorted({event.user for event in request.events} - {request.user})
    if others:
        msg = f"the events of a request must be those of its user {request.user!r}, got events of {others}"
        raise ChainInputError(msg)


def _find_unknown(request: RecommendationRequest, catalogue: ItemCatalogue) -> tuple[str, ...]:
    named = dict.fromkeys([*(event.item for event in request.events), *request.exclude])
    return tuple(item for item in named if item not in catalogue)


def _settle(events: Iterable[DatedEvent], now: datetime) -> tuple[list[DatedEvent], int]:
    """Return the events that have happened, none of them dated after `now`, and how many have not happened."""
    given = list(events)
    happened = [event for event in given if event.time <= now + CLOCK_TOLERANCE]
    settled = [event if event.time <= now else event.model_copy(update={"time": now}) for event in happened]
    return settled, len(given) - len(settled)
