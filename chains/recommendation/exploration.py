"""Exploration: some places of a list go to items that hardly anybody has used, with probabilities that are known."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llms.errors import OptionValueError

FIRST_EXPLORED_RANK = 2  # counted from 0: the first places earn most by being right


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationOptions:
    """How often places go to items of which too little is known for them to come up by themselves."""

    share: float = 0.0  # of the places after the second
    max_users: int = 4  # an item that more people have used is known well enough
    num_drawn: int = 50  # of such items, by chance for each list, that compete for its places

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not 0 <= self.share < 1:
            msg = f"share must be at least 0 and below 1, got {self.share}"
            raise OptionValueError(msg)
        if self.max_users < 0 or self.num_drawn < 1:
            msg = f"max_users must be at least 0 and num_drawn at least 1, got {self.max_users} and {self.num_drawn}"
            raise OptionValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What came to a place of a list, and how likely that was."""

    row: int
    propensity: float  # given the places before it


def explore_list(
    ranked: Sequence[int], explored: Mapping[int, float], *, share: float, k: int, rng: np.random.Generator
) -> list[Placed]:
    """Return a list in which each place after the second goes with probability `share` to an item that is explored.

    All other places go to what is ranked, in its order. Whoever keeps the propensities can tell later what another
    way to make lists would have earned (`estimate_value`).

    Args:
        ranked: rows of items, best first, each once.
        explored: row -> weight; among these a row's chance is its share of the weights, all of which are above 0.
        share: how many places are explored, 0 to 1.
        k: length of the list, which is shorter where fewer are ranked.
        rng: decides; the same state gives the same list, and a shorter one is the beginning of a longer one.

    Example:
        >>> explore_list([5, 6], {}, share=0.5, k=2, rng=np.random.default_rng(0))
        [Placed(row=5, propensity=1.0), Placed(row=6, propensity=1.0)]
        >>> [round(place.propensity, 3) for place in explore_list(
        ...     [5, 6, 7], {8: 1.0, 9: 3.0}, share=0.2, k=3, rng=np.random.default_rng(0)
        ... )]
        [1.0, 1.0, 0.8]
    """
    left, waiting = dict(explored), list(ranked)
    places: list[Placed] = []
    while waiting and len(places) < k:
        chance = share if left and len(places) >= FIRST_EXPLORED_RANK else 0.0
        total = sum(left.values())
        lot, mark = rng.random(2)  # both at each place, so that no draw depends on how earlier ones fell
        row = _draw(left, mark * total) if lot < chance else waiting[0]
        propensity = (1 - chance) * (row == waiting[0]) + (chance * left[row] / total if chance and row in left else 0)
        places.append(Placed(row=row, propensity=float(propensity)))
        left.pop(row, None)
        waiting = [other for other in waiting if other != row]
    return places


def draws_of(list_id: str, what: str) -> np.random.Generator:
    """Return the source of chance for one list: asked the same at the same moment, everybody gets the same."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(f"{list_id} {what}".encode(), digest_size=8).digest()))


def _draw(weights: Mapping[int, float], mark: float) -> int:
    """Return the row in whose part of the summed weights the mark lies."""
    rows, bounds = list(weights), np.cumsum(list(weights.values()))
    return rows[min(int(np.searchsorted(bounds, mark, side="right")), len(rows) - 1)]
