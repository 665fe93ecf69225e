"""The recommendation chain: user -> taste -> candidates -> interest -> order -> reasons."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray
from pydantic import ValidationError

from chains.errors import ChainInputError
from chains.recommendation.candidates import collect_candidates, collect_facts
from chains.recommendation.click_model import InterestModel
from chains.recommendation.explanation import ReasonPhrases, explain_item
from chains.recommendation.features import FeatureTable
from chains.recommendation.ranking import RankingOptions, combine_scores, group_parts, select_diverse
from chains.recommendation.schema import RankedItem, Recommendation, RecommendationRequest
from chains.recommendation.user_profile import UserProfile, build_profile
from retrievers import Interactions, ItemCatalogue
from retrievers.errors import VectorError


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
) -> "Runnable[RecommendationRequest | dict[str, Any], Recommendation]":
    """Return the chain request -> list of items with reasons.

    Item vectors and the collaborative model are computed here, once. Time is the data's own: a list is made at the
    moment of the last event, of the record or of the request, whichever is later.

    Args:
        catalogue: what can be recommended.
        embeddings: gives the item vectors; the store must hold vectors of the same model.
        store: the catalogue's items under their ids (`catalogue.to_documents()`).
        interactions: what all users did so far.
        interest: the trained model.
        options: how lists are made.

    Raises:
        DataFileError: if the interactions name an item the catalogue lacks.
        VectorError: if the embeddings are not one finite vector per item.
        ChainInputError: on invoke, if the request is malformed, names unknown items, or brings another user's events.
    """
    axis = Interactions(interactions.events, interactions.weights, items=list(catalogue))
    table = FeatureTable(
        catalogue=catalogue,
        vectors=embed_catalogue(catalogue, embeddings),
        interactions=axis,
        options=interest.feature_options,
    )
    maker = _ListMaker(
        table=table, store=store, interactions=axis, interest=interest, options=options or RecommendationOptions()
    )
    parse: Runnable[RecommendationRequest | dict[str, Any], RecommendationRequest] = RunnableLambda(_parse_request)
    return (parse | RunnableLambda(maker.recommend)).with_types(
        input_type=RecommendationRequest, output_type=Recommendation
    )


def embed_catalogue(catalogue: ItemCatalogue, embeddings: Embeddings) -> NDArray[np.float32]:
    """Return `(num_items, dim)` float32 unit vectors of the items' texts, in catalogue order, from one call.

    Raises:
        VectorError: if the catalogue is empty, or the vectors are not one finite, non-zero vector per item.
    """
    vectors = np.array(embeddings.embed_documents([item.text for item in catalogue.values()]), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(catalogue) or not len(catalogue):
        msg = f"expected one vector for each of the {len(catalogue)} items, got an array of shape {vectors.shape}"
        raise VectorError(msg)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        msg = "the embeddings hold zeros only, NaN or infinity for some item; check the model"
        raise VectorError(msg)
    unit: NDArray[np.float32] = vectors / lengths
    return unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListMaker:
    """The parts of a built chain, and the way through them."""

    table: FeatureTable
    store: VectorStore
    interactions: Interactions
    interest: InterestModel
    options: RecommendationOptions

    def recommend(self, request: RecommendationRequest) -> Recommendation:
        """Return the list for one request."""
        self._refuse_unknown(request)
        profile = self._build_profile(request)
        num_wanted = self.options.num_cold_candidates if profile.is_cold else self.options.num_candidates
        rows = collect_candidates(
            table=self.table,
            store=self.store,
            profile=profile,
            allowed=self._find_allowed(request, profile),
            num_per_source=max(num_wanted, request.k),
        )
        items = self._rank(rows, profile, request.k) if len(rows) else ()
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

    def _rank(self, rows: NDArray[np.intp], profile: UserProfile, k: int) -> tuple[RankedItem, ...]:
        ranking = self.options.ranking
        features = self.table.compute(profile, rows)
        scores = combine_scores(self.interest.predict_log_odds(features), features, ranking)
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * scores))
        pool = np.argsort(-scores, kind="stable")[: max(ranking.pool_size, k)]
        # probabilities, not log-odds: far-off best items keep their places and variety moves those that hardly differ
        places = select_diverse(probabilities[pool], self.table.vectors[rows[pool]], k=k, diversity=ranking.diversity)
        chosen = pool[places]
        return self._describe(profile, rows[chosen], features[chosen], probabilities[chosen])

    def _describe(
        self,
        profile: UserProfile,
        rows: NDArray[np.intp],
        features: NDArray[np.float32],
        probabilities: NDArray[np.float64],
    ) -> tuple[RankedItem, ...]:
        """Return the chosen items with their parts and reasons."""
        parts = group_parts(self.interest.weigh(features), features, self.options.ranking)
        interest = self.interest.predict(features)
        items = list(self.table.catalogue.values())
        described = []
        for at, row in enumerate(rows.tolist()):
            added = {part: round(float(values[at]), 4) for part, values in parts.items()}
            facts = collect_facts(self.table, profile, row, features[at])
            reason = explain_item(added, facts, phrases=self.options.phrases)
            described.append(
                RankedItem(
                    id=items[row].id,
                    title=items[row].title,
                    score=float(probabilities[at]),
                    reason=reason,
                    parts={"interest": round(float(interest[at]), 4), **added},
                )
            )
        return tuple(described)

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


def _parse_request(request: RecommendationRequest | dict[str, Any]) -> RecommendationRequest:
    try:
        return RecommendationRequest.model_validate(request)
    except ValidationError as error:
        msg = f"this is no recommendation request: {error}"
        raise ChainInputError(msg) from error
