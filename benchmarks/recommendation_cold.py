"""Items that nobody has used: how well their texts place them, and what it costs to show them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from benchmarks.recommendation_data import RATING_WEIGHTS, split_by_user, tell_target
from chains.recommendation import (
    EvaluationOptions,
    ExplorationOptions,
    InterestOptions,
    RankingOptions,
    RecommendationChain,
    RecommendationOptions,
    build_recommendation_chain,
    embed_catalogue,
    evaluate_recommender,
    follow_catalogue,
    learn_item_models,
)
from chains.recommendation.features import FeatureTable
from chains.recommendation.text_map import map_texts
from chains.recommendation.training import build_examples, fit_interest_model
from chains.recommendation.user_profile import embed_user
from retrievers.interactions import INTEREST_KINDS, Event, Interactions, sum_strengths
from retrievers.items import ItemCatalogue

SEEDS = (0, 1, 2)
COLD_SHARE = 0.1
K = 10
EXPLORED_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
_KINDS = frozenset(INTEREST_KINDS)


def hold_out_items(catalogue: ItemCatalogue, seed: int) -> ItemCatalogue:
    """Return a catalogue without a random tenth of its items."""
    names = list(catalogue)
    held = set(np.random.default_rng(seed).choice(names, size=round(COLD_SHARE * len(names)), replace=False).tolist())
    return ItemCatalogue(item for item in catalogue.values() if item.id not in held)


def learn_chain(
    warm: ItemCatalogue,
    catalogue: ItemCatalogue,
    events: Sequence[Event],
    embeddings: Embeddings,
    *,
    seed: int,
    exploration: ExplorationOptions | None = None,
) -> RecommendationChain:
    """Return a chain for all items that was learnt when there were only the warm ones."""
    train = Interactions(events, RATING_WEIGHTS, items=list(warm))
    options = InterestOptions(positive_kinds=_KINDS, seed=seed)
    options = replace(options, features=replace(options.features, num_factors=40))
    vectors = embed_catalogue(warm, embeddings)
    early, late = split_by_user(events, 0.75, seed + 100)
    old = hold_out_items(warm, seed + 100)  # a shop's training sees new items too: a tenth is new at this cut
    before = Interactions([event for event in early if event.item in old], RATING_WEIGHTS, items=train.items)
    after = Interactions(
        [*late, *(event for event in early if event.item not in old)], RATING_WEIGHTS, items=train.items
    )
    table = FeatureTable(catalogue=warm, vectors=vectors, interactions=before, options=options.features)
    interest = fit_interest_model(build_examples(table, before, after, options), options)
    models = learn_item_models(catalogue=warm, embeddings=embeddings, interactions=train, options=options.features)
    texts = {item.id: item.text for item in warm.values()}
    models = follow_catalogue(models, texts=texts, catalogue=catalogue, embeddings=embeddings)
    return build_recommendation_chain(
        catalogue=catalogue,
        embeddings=embeddings,
        interactions=Interactions(events, RATING_WEIGHTS, items=list(catalogue)),
        interest=interest,
        item_models=models,
        clock=lambda: train.now,
        options=RecommendationOptions(
            ranking=RankingOptions(diversity=0.0),
            exploration=exploration or ExplorationOptions(),
            look_again_days=math.inf,
        ),
    )


def show_cold_items(catalogue: ItemCatalogue, events: Sequence[Event], embeddings: Embeddings) -> Iterator[str]:
    """Yield the table of recall among items whose events were all held out."""
    rows: dict[str, list[float]] = {}
    for seed in SEEDS:
        for name, recall in _recall_of_cold(catalogue, events, embeddings, seed).items():
            rows.setdefault(name, []).append(recall)
    yield f"\nA tenth of the items with all their events held out, {len(SEEDS)} seeds; recall@{K} among these items"
    yield "alone, of users who rated one of them. What is learnt knows the other items only; the held-out ones join the"
    yield "catalogue afterwards, as new items of a shop do. Hits are a share of ten, or of what a user rated where that"
    yield "is less. The penalty of the map from texts to factors (10) was chosen with other items, seeds 100 to 102.\n"
    yield "| method | recall@10 | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " |"
    yield "|---|---|" + "---|" * len(SEEDS)
    for name, recalls in rows.items():
        yield f"| {name} | {np.mean(recalls):.4f} | " + " | ".join(f"{recall:.4f}" for recall in recalls) + " |"
    ours = float(np.mean(rows[OURS]))
    ratio = ours / float(np.mean(rows[COSINE]))
    yield f"\nOurs: {tell_target(0.33, ours)}; {ratio:.2f} times the text cosine ({tell_target(1.4, ratio)})."
    yield "Popularity is the same for all of these items."


OURS, COSINE = "ours", "text cosine"


def _recall_of_cold(
    catalogue: ItemCatalogue, events: Sequence[Event], embeddings: Embeddings, seed: int
) -> dict[str, float]:
    warm = hold_out_items(catalogue, seed)
    known = [event for event in events if event.item in warm]
    train = Interactions(known, RATING_WEIGHTS, items=list(catalogue))
    wanted: dict[str, set[str]] = {}
    for event in events:
        if event.item not in warm and train.history(event.user):
            wanted.setdefault(event.user, set()).add(event.item)
    chain = learn_chain(warm, catalogue, known, embeddings, seed=seed)
    vectors = chain.item_models.vectors
    cold = [item for item in catalogue if item not in warm]
    rows = np.array([catalogue.positions[item] for item in cold])
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"random order": [], COSINE: [], "factors of texts alone": [], OURS: []}
    requests = [{"user": user, "k": 100, "exclude": tuple(warm), "diversity": 0.0} for user in wanted]
    for user, list_ in zip(wanted, chain.batch(requests), strict=True):
        strengths = sum_strengths(train.history(user), train.weights, train.now)
        scores: Mapping[str, NDArray[np.floating]] = {
            "random order": rng.random(len(rows)),
            COSINE: vectors[rows] @ embed_user(vectors, catalogue.positions, strengths),
            "factors of texts alone": _score_factors(chain, catalogue, strengths)[rows],
        }
        for name, of_method in scores.items():
            ranked = [cold[at] for at in np.argsort(-of_method, kind="stable")[:K]]
            found[name].append(_count_hits(ranked, wanted[user]))
        found[OURS].append(_count_hits([item.id for item in list_.items[:K]], wanted[user]))
    return {name: float(np.mean(recalls)) for name, recalls in found.items()}


def _count_hits(ranked: Sequence[str], wanted: set[str]) -> float:
    return len(wanted.intersection(ranked)) / min(K, len(wanted))


def _score_factors(
    chain: RecommendationChain, catalogue: ItemCatalogue, strengths: Mapping[str, float]
) -> NDArray[np.floating]:
    models = chain.item_models
    factors = models.factors.T.copy()
    if models.text_map is not None:
        is_new = ~factors.any(axis=1)
        factors[is_new] = map_texts(models.text_map, models.vectors[is_new])
    used = np.array([catalogue.positions[item] for item in strengths])
    scores: NDArray[np.floating] = factors @ (np.array(list(strengths.values())) @ factors[used])
    return scores


def show_exploration(catalogue: ItemCatalogue, events: Sequence[Event], embeddings: Embeddings) -> Iterator[str]:
    """Yield the table of what a share of places for new items shows of them, and what it costs."""
    seed = SEEDS[0]
    warm = hold_out_items(catalogue, seed)
    early, late = split_by_user([event for event in events if event.item in warm], 0.75, seed)
    train, test = (Interactions(part, RATING_WEIGHTS, items=list(catalogue)) for part in (early, late))
    vectors = embed_catalogue(catalogue, embeddings)
    cold = {item for item in catalogue if item not in warm}
    options = EvaluationOptions(relevant_kinds=_KINDS, num_resamples=10)
    yield "\nOne list of 10 for each user, and what it shows of the held-out items (seed 0); nDCG counts the others.\n"
    yield "| share of places | nDCG@10 | change | held-out items shown | of all | places that went to them |"
    yield "|---|---|---|---|---|---|"
    plain = 0.0
    for share in (0.0, *EXPLORED_SHARES):
        exploration = ExplorationOptions(share=share)
        chain = learn_chain(warm, catalogue, early, embeddings, seed=seed, exploration=exploration)
        lists = {
            user: [item.id for item in list_.items]
            for user, list_ in zip(
                test.users, chain.batch([{"user": user, "k": K} for user in test.users]), strict=True
            )
        }
        ndcg = evaluate_recommender(
            lambda user, k, lists=lists: lists[user][:k], train=train, test=test, vectors=vectors, options=options
        ).ndcg
        plain = plain or ndcg
        shown = [item for ranked in lists.values() for item in ranked if item in cold]
        yield (
            f"| {share} | {ndcg:.4f} | {100 * (ndcg / plain - 1):+.1f} % | {len(set(shown))} | {len(cold)} | "
            f"{len(shown) / sum(map(len, lists.values())):.3f} |"
        )
