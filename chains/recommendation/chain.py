"""The recommendation chain: user profile -> candidates -> interest model -> ranking -> reasons."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
from chains.recommendation.features import FeatureTable, UserScores
from chains.recommendation.item_models import ItemModels, learn_item_models
from chains.recommendation.ranking import RankingOptions, combine_scores, group_parts, select_diverse
from chains.recommendation.schema import RankedItem, Recommendation, RecommendationRequest
from chains.recommendation.user_profile import UserProfile, build_profile
from chains.requests import parse_request
from retrievers import Interactions, Item, ItemCatalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationOptions:
    """How lists are made; everything about features comes with the interest model."""

    ranking: RankingOptions = field(default_factory=RankingOptions)
    phrases: ReasonPhrases = field(default_factory=ReasonPhrases)
    num_candidates: int = 200  # from each source
    num_cold_candidates: int = 30  # for a newcomer, so that only what is popular or new can come up
    filter_already_seen: bool = True  # what was bought is never recommended again, whatever this says


def build_recommendation_chain(
    *,
    catalogue: ItemCatalogue,
    embeddings: Embeddings,
    store: VectorStore,
    interactions: Interactions,
    interest: InterestModel,
    options: RecommendationOptions | None = None,
    item_models: ItemModels | None = None,
) -> "Runnable[RecommendationRequest | dict[str, Any], Recommendation]":
    """Return the chain request -> list of items with reasons.

    Without `item_models` these are learnt here, once. Time is the data's own: a list is made at the
    moment of the last event, of the record or of the request, whichever is later.

    Args:
        catalogue: what can be recommended.
        embeddings: gives the item vectors; the store must hold vectors of the same model.
        store: the catalogue's items under their ids (`catalogue.to_documents()`).
        interactions: what all users did so far.
        interest: the trained model.
        options: how lists are made.
        item_models: what `learn_item_models` returns for the same items, events, embeddings and feature options.

    Raises:
        DataFileError: if the interactions name an item the catalogue lacks.
        VectorError: if the embeddings are not one finite vector per item.
        ChainInputError: on invoke, if the request is malformed, names unknown items, or brings another user's events.
    """
    axis = Interactions(interactions.events, interactions.weights, items=list(catalogue))
    features = interest.feature_options
    models = item_models or learn_item_models(
        catalogue=catalogue, embeddings=embeddings, interactions=axis, options=features
    )
    chain = _RecommendationChain(
        table=models.make_table(catalogue=catalogue, interactions=axis, options=features),
        store=store,
        interactions=axis,
        interest=interest,
        options=options or RecommendationOptions(),
    )
    return RunnableLambda(chain.recommend, name="recommendation").with_types(
        input_type=RecommendationRequest, output_type=Recommendation
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecommendationChain:
    """The parts of a built chain, and the way through them."""

    table: FeatureTable
    store: VectorStore
    interactions: Interactions
    interest: InterestModel
    options: RecommendationOptions

    def recommend(self, message: RecommendationRequest | dict[str, Any]) -> Recommendation:
        """Return the list for one request."""
        request = parse_request(message, RecommendationRequest)
        self._refuse_unknown(request)
        profile = self._build_profile(request)
        user = self.table.score_user(profile)
        num_wanted = self.options.num_cold_candidates if profile.is_cold else self.options.num_candidates
        rows = collect_candidates(
            table=self.table,
            store=self.store,
            user=user,
            allowed=self._find_allowed(request, profile),
            num_per_source=max(num_wanted, request.k),
        )
        items = self._rank(rows, user, request.k) if len(rows) else ()
        return Recommendation(user=request.user, items=items, cold=profile.is_cold)

    def _build_profile(self, request: RecommendationRequest) -> UserProfile:
        now = max([self.table.now, *(event.time for event in request.events)])
        events = (*self.interactions.history(request.user), *request.events)
        return build_profile(request.user, events, self.interactions.weights, now)

    def _find_allowed(self, request: RecommendationRequest, profile: UserProfile) -> NDArray[np.bool_]:
        blocked = {*request.exclude, *profile.bought}
        if self.options.filter_already_seen:
            blocked |= set(profile.recent)
        limit = request.max_price
        return np.array(
            [
                item.id not in blocked and (limit is None or (item.price is not None and item.price <= limit))
                for item in self.table.catalogue.values()
            ]
        )

    def _rank(self, rows: NDArray[np.intp], user: UserScores, k: int) -> tuple[RankedItem, ...]:
        from scipy.special import expit

        ranking = self.options.ranking
        features = self.table.compute(user, rows)
        weighed = self.interest.weigh(features)  # (rows, num_features)
        log_odds = weighed.sum(axis=1) + self.interest.intercept
        scores = combine_scores(log_odds, features, ranking)
        probabilities = expit(scores)
        pool = np.argsort(-scores, kind="stable")[: max(ranking.pool_size, k)]
        # probabilities, not log-odds: far-off best items keep their ranks and variety moves those that hardly differ
        ranks = select_diverse(probabilities[pool], self.table.vectors[rows[pool]], k=k, diversity=ranking.diversity)
        chosen = pool[ranks]
        parts = group_parts(weighed[chosen], features[chosen], ranking)
        items = list(self.table.catalogue.values())
        return tuple(
            self._describe(
                items[rows[at]],
                score=float(probabilities[at]),
                interest=float(expit(log_odds[at])),
                added={part: float(values[rank]) for part, values in parts.items()},
                facts=collect_facts(self.table, user.profile, int(rows[at]), features[at]),
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

    def _refuse_unknown(self, request: RecommendationRequest) -> None:
        named: Iterable[str] = (*(event.item for event in request.events), *request.exclude)
        unknown = sorted(set(named) - self.table.catalogue.positions.keys())
        if unknown:
            msg = f"the catalogue has no item {', '.join(map(repr, unknown))}; name items by their catalogue ids"
            raise ChainInputError(msg)
        others = sorted({event.user for event in request.events} - {request.user})
        if others:
            msg = f"the events of a request must be those of its user {request.user!r}, got events of {others}"
            raise ChainInputError(msg)
