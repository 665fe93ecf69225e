"""Which items are worth scoring for a user, from four sources; and the facts a reason may rest on."""

import numpy as np
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

from chains.recommendation.explanation import ReasonFacts
from chains.recommendation.features import FEATURE_NAMES, FeatureTable
from chains.recommendation.user_profile import UserProfile, build_taste
from retrievers import EventKind

# A reason must hold when a reader checks it, so each fact has a floor of its own.
MIN_SIMILAR_COSINE = 0.35
MIN_PRICE_MATCH = 0.6
TRENDING_SHARE = 0.1  # of the catalogue


def collect_candidates(
    *,
    table: FeatureTable,
    store: VectorStore,
    profile: UserProfile,
    allowed: NDArray[np.bool_],
    num_per_source: int,
) -> NDArray[np.intp]:
    """Return the rows of all items worth scoring, in catalogue order, each once.

    Sources: what is close to the user's taste in the store, what the collaborative model expects, what is popular,
    and what is new. The first two have nothing to say about a user nobody knows.

    Args:
        table: the items.
        store: holds the items under their ids; documents that are not in the catalogue are passed over, because a
            store may still hold what the catalogue has dropped.
        profile: the user.
        allowed: `(num_items,)`, False for items that must not be recommended.
        num_per_source: how many allowed items to take from each source.
    """
    sources = (table.popularity, table.trend, table.latest, table.newness)
    picked = [_take_best(scores, allowed, num_per_source) for scores in sources]
    if not profile.is_cold:
        collaborative = table.collaborative.score_items(profile.strengths)
        picked.append(_take_best(collaborative, allowed, num_per_source))
        taste = build_taste(table.vectors, table.catalogue.positions, profile.strengths)
        # what is not allowed may fill the first places, so it is asked for on top
        num_asked = min(len(allowed), num_per_source + int((~allowed).sum()))
        found = store.similarity_search_by_vector(taste.tolist(), k=num_asked)
        rows = [table.catalogue.positions[doc.id] for doc in found if doc.id and doc.id in table.catalogue]
        picked.append(np.array([row for row in rows if allowed[row]][:num_per_source], dtype=np.intp))
    return np.unique(np.concatenate(picked))


def collect_facts(table: FeatureTable, profile: UserProfile, row: int, features: NDArray[np.float32]) -> ReasonFacts:
    """Return what is true of one item for one user.

    Args:
        table: the items.
        profile: the user.
        row: the item's row in the catalogue.
        features: `(num_features,)`, the item's features.
    """
    value = dict(zip(FEATURE_NAMES, features.tolist(), strict=True))
    recent = profile.recent[: table.options.num_recent]
    cosines, places = table.closest_recent(recent, np.array([row]))
    similar = recent[places[0]] if recent and cosines[0] >= MIN_SIMILAR_COSINE else None
    companion = _find_companion(table, profile, row)
    return ReasonFacts(
        similar_title=table.catalogue[similar].title if similar else "",
        similar_kind=profile.strongest[similar] if similar else EventKind.VIEW,
        shared_tag=_find_shared_tag(table, profile, row),
        companion_title=table.catalogue[companion].title if companion else "",
        trending_days=_find_trending_days(table, row),
        is_new=value["newness"] >= np.exp(-1.0),  # at most `newness_days` old
        is_usual_price=value["price_match"] >= MIN_PRICE_MATCH,
    )


def _find_trending_days(table: FeatureTable, row: int) -> float | None:
    """Return the shorter window over which the item is among the most used, if there is one."""
    for counts, days in ((table.latest, table.options.latest_days), (table.trend, table.options.trend_days)):
        if counts[row] >= max(float(np.quantile(counts, 1 - TRENDING_SHARE)), 1.0):
            return days
    return None


def _take_best(scores: NDArray[np.floating], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    best = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")[:count]
    return best[allowed[best]]


def _find_companion(table: FeatureTable, profile: UserProfile, row: int) -> str | None:
    """Return the item of the history that adds most to the collaborative score, if any adds."""
    weights = table.collaborative.weights[:, row]
    added = {item: strength * weights[table.catalogue.positions[item]] for item, strength in profile.strengths.items()}
    best = max(added, key=added.__getitem__, default=None)
    return best if best is not None and added[best] > 0 else None


def _find_shared_tag(table: FeatureTable, profile: UserProfile, row: int) -> str:
    """Return the item's tag that weighs most in the history; nothing if they share none."""
    items = list(table.catalogue.values())
    weight = dict.fromkeys(items[row].tags, 0.0)
    for item, strength in profile.strengths.items():
        for tag in table.catalogue[item].tags:
            if tag in weight:
                weight[tag] += strength
    best = max(weight, key=weight.__getitem__, default="")
    return best if weight.get(best, 0.0) > 0 else ""
