"""The recommendation chain: user profile -> candidates -> interest model -> ranking -> reasons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray
from typing_extensions import override

from chains.errors import ChainInputError, UnknownItemError
from chains.recommendation.candidates import collect_candidates
from chains.recommendation.click_model import InterestModel
from chains.recommendation.coarse_vectors import take_best
from chains.recommendation.explanation import (
    MIN_COMPANION_USERS,
    ReasonFacts,
    ReasonPhrases,
    collect_facts,
    explain_item,
    explain_similar,
)
from chains.recommendation.exploration import ExplorationOptions, Placed, draws_of, explore_list
from chains.recommendation.features import BehaviourRecord, FeatureTable, UserScores
from chains.recommendation.item_models import ItemModels, compare_query, learn_item_models
from chains.recommendation.queries import LEAST_SHARE, TASTE_WEIGHT, ReadQuery, measure_fit, read_query
from chains.recommendation.ranking import RankingOptions, combine_scores, group_parts, select_diverse
from chains.recommendation.requests import choose_ranking, find_unknown, name_list, read_request, settle_events
from chains.recommendation.schema import (
    RankedItem,
    Recommendation,
    RecommendationRequest,
    SimilarItem,
    SimilarItems,
    SimilarRequest,
    UnderstoodQuery,
)
from chains.recommendation.user_profile import UserProfile, build_profile
from chains.requests import parse_request
from llms.errors import OptionValueError
from retrievers import (
    EventWeights,
    Interactions,
    Item,
    ItemCatalogue,
    different_events,
    utc_now,
)
from retrievers.metrics import intra_list_distance

TOGETHER_WEIGHT = 0.5  # of what people used together, beside what texts say, for how alike items are
_NUM_FITTING = 100  # items that fit a query and compete by taste
_MAX_CELLS = 4_000_000  # of users by items in memory at once, in a few matrices
_LEAST_CHANCE = 1e-3  # beside the probability of interest, so that every new item comes up some day
_LASTS = timedelta(minutes=1)  # so long, what is popular and new is taken to stay so


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationOptions:
    """How lists are made; everything about features comes with the interest model."""

    ranking: RankingOptions = field(default_factory=RankingOptions)
    exploration: ExplorationOptions = field(default_factory=ExplorationOptions)
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
) -> "RecommendationChain":
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
    axis = interactions
    if axis.items != tuple(catalogue):
        axis = Interactions(interactions.events, interactions.weights, items=list(catalogue))
    features = interest.feature_options
    models = item_models or learn_item_models(
        catalogue=catalogue, embeddings=embeddings, interactions=axis, options=features
    )
    table = models.make_table(catalogue=catalogue, interactions=axis, options=features, now=clock())
    return RecommendationChain(
        table=table,
        record=record or axis,
        weights=axis.weights,
        clock=clock,
        interest=interest,
        item_models=models,
        options=options or RecommendationOptions(),
        embeddings=embeddings,
    )


class RecommendationChain(Runnable["RecommendationRequest | dict[str, Any]", Recommendation]):
    """The chain that `build_recommendation_chain` returns: requests in, lists out.

    A batch is computed at once, and gives the same lists as its requests one by one.

    Attributes:
        interest: the model that lists are made with.
        item_models: what was learnt of the items, in the order of `catalogue`.
    """

    def __init__(
        self,
        *,
        table: FeatureTable,
        record: BehaviourRecord,
        weights: EventWeights,
        clock: Callable[[], datetime],
        interest: InterestModel,
        item_models: ItemModels,
        options: RecommendationOptions,
        embeddings: Embeddings,
    ) -> None:
        self.name = "recommendation"
        self._table = table  # of the latest minute that anybody asked in
        self._table.coarse  # noqa: B018  # made now, since the first list would wait for it
        self._record = record
        self._weights = weights
        self._clock = clock
        self.interest = interest
        self.item_models = item_models
        self._options = options
        self._embeddings = embeddings

    @property
    def catalogue(self) -> ItemCatalogue:
        """What can be recommended."""
        return self._table.catalogue

    @property
    @override
    def InputType(self) -> type[RecommendationRequest]:
        return RecommendationRequest

    @property
    @override
    def OutputType(self) -> type[Recommendation]:
        return Recommendation

    @override
    def invoke(
        self, input: RecommendationRequest | dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Recommendation:
        return self._call_with_config(self._recommend_one, input, config)

    @override
    def batch(
        self,
        inputs: list[RecommendationRequest | dict[str, Any]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Recommendation]:
        return self._batch_with_config(self._recommend_all, inputs, config, return_exceptions=return_exceptions)

    @override
    async def abatch(
        self,
        inputs: list[RecommendationRequest | dict[str, Any]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Recommendation]:
        return await run_in_executor(None, lambda: self.batch(inputs, config, return_exceptions=return_exceptions))

    def _recommend_one(self, message: RecommendationRequest | dict[str, Any]) -> Recommendation:
        request = read_request(message)
        now = self._clock()
        return self._recommend([request], self._table_at(now), now)[0]

    def _recommend_all(
        self, messages: list[RecommendationRequest | dict[str, Any]]
    ) -> list[Exception | Recommendation]:
        """Return a list or an error for each message."""
        answers: list[Exception | Recommendation | None] = [None] * len(messages)
        requests: dict[int, RecommendationRequest] = {}
        for at, message in enumerate(messages):
            try:
                requests[at] = read_request(message)
            except ChainInputError as error:
                answers[at] = error
        now = self._clock()
        table = self._table_at(now)
        places = list(requests)
        step = max(1, _MAX_CELLS // len(table.items))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            for at, answer in zip(part, self._recommend([requests[at] for at in part], table, now), strict=True):
                answers[at] = answer
        return [answer for answer in answers if answer is not None]

    def _recommend(
        self, requests: Sequence[RecommendationRequest], table: FeatureTable, now: datetime
    ) -> list[Recommendation]:
        asked = [self._look_up(request, table, now) for request in requests]
        users = table.score_users([each.profile for each in asked])
        allowed = np.stack([self._find_allowed(table, each, now) for each in asked])
        rows_of_users = self._find_candidates(
            table=table,
            asked=asked,
            users=users,
            allowed=allowed,
            num_per_source=[
                max(
                    self._options.num_cold_candidates if each.profile.is_cold else self._options.num_candidates,
                    each.request.k,
                )
                for each in asked
            ],
        )
        nums_ranked = [len(rows) for rows in rows_of_users]
        if self._options.exploration.share:
            rows_of_users = [
                np.concatenate([rows, self._draw_new(table, each, may)])
                for rows, each, may in zip(rows_of_users, asked, allowed, strict=True)
            ]
        owners = np.repeat(np.arange(len(asked)), [len(rows) for rows in rows_of_users])
        features = table.compute(users, np.concatenate(rows_of_users), owners)
        weighed = self.interest.weigh(features)  # (pairs, num_features)
        log_odds = weighed.sum(axis=1) + self.interest.intercept
        bounds = np.cumsum([0, *(len(rows) for rows in rows_of_users)])
        lists = []
        for at, each in enumerate(asked):
            part = slice(bounds[at], bounds[at + 1])
            scored = _Scored(
                rows=rows_of_users[at],
                num_ranked=nums_ranked[at],
                features=features[part],
                weighed=weighed[part],
                log_odds=log_odds[part],
            )
            items = self._rank(table, each, scored)
            lists.append(
                Recommendation(
                    user=each.request.user,
                    items=items,
                    list_id=each.list_id,
                    distance=_measure_distance(table, items),
                    cold=each.profile.is_cold,
                    unknown_items=find_unknown(each.request, table.catalogue),
                    num_future_events=each.num_future_events,
                    understood=None if each.query is None else _tell_query(each.query),
                )
            )
        return lists

    def _find_candidates(
        self,
        *,
        table: FeatureTable,
        asked: Sequence["_Asked"],
        users: UserScores,
        allowed: NDArray[np.bool_],
        num_per_source: Sequence[int],
    ) -> list[NDArray[np.intp]]:
        """Return the rows worth scoring for each user: what suits them, or what fits their query."""
        found = collect_candidates(table=table, users=users, allowed=allowed, num_per_source=num_per_source)
        for at, each in enumerate(asked):
            if each.fit is not None:
                found[at] = take_best(each.fit, allowed[at], max(_NUM_FITTING, each.request.k))
                fits = each.fit[found[at]]
                found[at] = found[at][fits >= LEAST_SHARE * fits.max(initial=0.0)]
        return found

    def _draw_new(self, table: FeatureTable, asked: "_Asked", allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the rows of some items that hardly anybody used, which compete for places; none for a search."""
        exploration = self._options.exploration
        if asked.query is not None:
            return np.empty(0, dtype=np.intp)
        rows = np.flatnonzero(allowed & table.is_hardly_used(exploration.max_users))
        if len(rows) <= exploration.num_drawn:
            return rows
        drawn = draws_of(asked.list_id, "items").choice(len(rows), exploration.num_drawn, replace=False)
        return rows[np.sort(drawn)]

    def _look_up(self, request: RecommendationRequest, table: FeatureTable, now: datetime) -> "_Asked":
        events, num_future = settle_events([event for event in request.events if event.item in table.catalogue], now)
        past, _ = settle_events(
            [event for event in self._record.history(request.user) if event.item in table.catalogue], now
        )
        profile = build_profile(request.user, different_events([*past, *events]), self._weights, now)
        asked = _Asked(request=request, profile=profile, num_future_events=num_future, list_id=name_list(request, now))
        if request.query is None:
            return asked
        query = read_query(request.query, table.rows_of_tags)
        return replace(asked, query=query, fit=self._measure_fit(query, table))

    def _measure_fit(self, query: ReadQuery, table: FeatureTable) -> NDArray[np.float64]:
        cosines = compare_query(table.vectors, self._embeddings, query.text)
        return measure_fit(query, cosines=cosines, words=table.words, tags_of=table.rows_of_tags)

    def find_similar(self, request: SimilarRequest | dict[str, Any]) -> SimilarItems:
        """Return the items most like one: by its text, and by what people used who used it.

        Raises:
            UnknownItemError: if there is no such item.
        """
        asked = parse_request(request, SimilarRequest)
        now = self._clock()
        table = self._table_at(now)
        if asked.item not in table.catalogue:
            msg = f"there is no item {asked.item!r}; it may have been deleted"
            raise UnknownItemError(msg)
        row = table.catalogue.positions[asked.item]
        cosines, together = table.compare_with(row)
        scores = ((1 - TOGETHER_WEIGHT) * cosines.clip(0, 1) + TOGETHER_WEIGHT * together).astype(np.float64)
        allowed = table.is_available.copy()
        allowed[row] = False
        unwanted = () if asked.user is None else self._unwanted(asked.user, table, now)
        allowed[[table.catalogue.positions[item] for item in unwanted]] = False
        rows = take_best(scores, allowed, asked.k)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        phrases = self._options.phrases
        return SimilarItems(
            item=asked.item,
            items=tuple(
                SimilarItem(
                    id=item.id,
                    title=item.title,
                    price=item.price,
                    tags=item.tags,
                    score=float(np.clip(scores[at], 0, 1)),
                    reason=explain_similar(
                        table.items[row].title,
                        is_together=bool(together[at] > 0) and table.count_common_users(row, at) >= MIN_COMPANION_USERS,
                        phrases=phrases,
                    ),
                )
                for at, item in ((int(at), table.items[at]) for at in rows)
            ),
        )

    def _unwanted(self, user: str, table: FeatureTable, now: datetime) -> frozenset[str]:
        profile = self._look_up(RecommendationRequest(user=user), table, now).profile
        return profile.unwanted

    def _table_at(self, now: datetime) -> FeatureTable:
        """Return the items as they look now; of a request at the same time as another, either may make the table."""
        table = self._table
        if table.record is not self._record or not timedelta(0) <= now - table.now < _LASTS:
            table = self._table = table.at(now, self._record)
        return table

    def _find_allowed(self, table: FeatureTable, asked: "_Asked", now: datetime) -> NDArray[np.bool_]:
        request, profile = asked.request, asked.profile
        blocked = {*request.exclude, *profile.unwanted}
        if asked.query is None:  # whoever looks for something may have had it
            blocked |= profile.bought
        if asked.query is None and self._options.filter_already_seen:
            pause, day = self._options.look_again_days, timedelta(days=1)
            blocked |= {item for item, time in profile.last_used.items() if (now - time) / day < pause}
        allowed = table.is_available.copy()
        positions = table.catalogue.positions
        allowed[[positions[item] for item in blocked if item in positions]] = False
        if request.max_price is not None:
            allowed &= table.prices <= request.max_price  # NaN, an unknown price, is never below
        if asked.query is not None and asked.query.max_price is not None:
            allowed &= table.prices <= asked.query.max_price
        if asked.query is not None and asked.query.min_price is not None:
            allowed &= table.prices >= asked.query.min_price
        return allowed

    def _rank(self, table: FeatureTable, asked: "_Asked", scored: "_Scored") -> tuple[RankedItem, ...]:
        from scipy.special import expit

        if not len(scored.rows):
            return ()
        request, ranking, rows = asked.request, choose_ranking(self._options.ranking, asked.request), scored.rows
        scores = combine_scores(scored.log_odds, scored.features, ranking)
        interest = expit(scores)
        if asked.fit is None:
            relevance = interest
        else:
            relevance = (asked.fit[rows] + TASTE_WEIGHT * interest).clip(0, 1)
            scores = relevance
            ranking = ranking if request.diversity is not None else replace(ranking, diversity=0.0)
        ranked = scores[: scored.num_ranked]
        # a quota on tags needs items of other tags, which may stand far behind
        pool_size = len(ranked) if ranking.max_per_tag is not None else max(ranking.pool_size, request.k)
        pool = np.argsort(-ranked, kind="stable")[:pool_size]
        # probabilities, not log-odds: far-off best items keep their ranks and variety moves those that hardly differ
        ranks = select_diverse(
            relevance[pool],
            table.vectors[rows[pool]],
            k=request.k,
            diversity=ranking.diversity,
            method=ranking.method,
            tags=[table.items[row].tags for row in rows[pool]] if ranking.max_per_tag is not None else (),
            max_per_tag=ranking.max_per_tag,
        )
        places = self._explore(asked, scored, pool[ranks].tolist(), interest)
        chosen = np.array([place.row for place in places], dtype=np.intp)
        parts = group_parts(scored.weighed[chosen], scored.features[chosen], ranking)
        if asked.fit is not None:
            parts = {"search": asked.fit[rows[chosen]]} | parts
        facts = collect_facts(table, asked.profile, rows[chosen], scored.features[chosen])
        return tuple(
            self._describe(
                table.items[rows[at]],
                score=float(relevance[at]),
                interest=float(expit(scored.log_odds[at])),
                added={part: float(values[rank]) for part, values in parts.items()},
                facts=facts[rank],
                propensity=places[rank].propensity,
            )
            for rank, at in enumerate(chosen.tolist())
        )

    def _explore(
        self, asked: "_Asked", scored: "_Scored", ranked: Sequence[int], interest: NDArray[np.float64]
    ) -> list[Placed]:
        """Return what comes to each place, by its number in `scored`; a share of places goes to new items."""
        if len(scored.rows) == scored.num_ranked:
            return [Placed(row=at, propensity=1.0) for at in ranked]
        numbers = {int(row): at for at, row in enumerate(scored.rows[: scored.num_ranked])}
        new = range(scored.num_ranked, len(scored.rows))
        return explore_list(
            ranked,
            # an item that is ranked too has one number
            {numbers.get(int(scored.rows[at]), at): float(interest[at]) + _LEAST_CHANCE for at in new},
            share=self._options.exploration.share,
            k=asked.request.k,
            rng=draws_of(asked.list_id, "places"),
        )

    def _describe(
        self,
        item: Item,
        *,
        score: float,
        interest: float,
        added: Mapping[str, float],
        facts: ReasonFacts,
        propensity: float,
    ) -> RankedItem:
        rounded = {part: round(value, 4) for part, value in added.items()}
        return RankedItem(
            id=item.id,
            title=item.title,
            score=score,
            reason=explain_item(rounded, facts, phrases=self._options.phrases),
            parts={"interest": round(interest, 4), **rounded},
            price=item.price,
            tags=item.tags,
            propensity=propensity,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request, and what is known of its user."""

    request: RecommendationRequest
    profile: UserProfile
    num_future_events: int
    list_id: str
    query: ReadQuery | None = None
    fit: NDArray[np.float64] | None = None  # (num_items,) to the query


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """The candidates of one user."""

    rows: NDArray[np.intp]  # those that are ranked, then new ones, some of which may be among the former too
    num_ranked: int
    features: NDArray[np.float32]  # (num_rows, num_features)
    weighed: NDArray[np.float64]  # the same shape
    log_odds: NDArray[np.float64]  # (num_rows,)


def _measure_distance(table: FeatureTable, items: Sequence[RankedItem]) -> float | None:
    rows = [table.catalogue.positions[item.id] for item in items]
    return round(intra_list_distance(table.vectors[rows]), 4) if len(rows) > 1 else None


def _tell_query(query: ReadQuery) -> UnderstoodQuery:
    return UnderstoodQuery(text=query.text, min_price=query.min_price, max_price=query.max_price, tags=query.tags)
