"""User profile and user embedding: what somebody did, and that as one point among the items."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers import INTEREST_KINDS, UNWANTED_KINDS, DatedEvent, EventKind, EventWeights, sum_strengths


def embed_user(
    vectors: NDArray[np.float32], positions: Mapping[str, int], strengths: Mapping[str, float]
) -> NDArray[np.float32]:
    """Return the direction of what a user likes: the strength-weighted mean of their items, at unit length.

    Args:
        vectors: `(num_items, dim)`, unit rows.
        positions: item id -> row of `vectors`.
        strengths: item id -> decayed strength, as from `sum_strengths`.

    Returns:
        `(dim,)` float32 of length 1; all zeros if there are no strengths or they cancel out.

    Example:
        >>> embed_user(np.eye(2, dtype=np.float32), {"a": 0, "b": 1}, {"a": 3.0, "b": 4.0})
        array([0.6, 0.8], dtype=float32)
    """
    embedding = np.zeros(vectors.shape[1], dtype=np.float64)
    for item, strength in strengths.items():
        embedding += strength * vectors[positions[item]]
    length = float(np.linalg.norm(embedding))
    least = 1e-9 * sum(abs(strength) for strength in strengths.values())  # old strengths are small and still count
    unit: NDArray[np.float32] = (embedding / length if length > least else embedding * 0.0).astype(np.float32)
    return unit


def embed_users(vectors: NDArray[np.float32], user_items: Any) -> NDArray[np.float32]:
    """Return `(num_users, dim)`: as `embed_user`, for each row of a sparse `(num_users, num_items)` of strengths."""
    embeddings: NDArray[np.float32] = user_items @ vectors
    lengths = np.linalg.norm(embeddings, axis=1)
    least = 1e-6 * np.asarray(abs(user_items).sum(axis=1)).ravel()  # what float32 leaves of strengths that cancel out
    scale = np.divide(1.0, lengths, where=lengths > least, out=np.zeros_like(lengths))
    unit: NDArray[np.float32] = embeddings * scale[:, np.newaxis]
    return unit


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProfile:
    """What is known of one user at one moment."""

    user: str
    strengths: Mapping[str, float]  # item id -> decayed strength, first seen first; below 0 for what is disliked
    recent: tuple[str, ...]  # different items of interest, the latest first
    bought: frozenset[str]
    unwanted: frozenset[str]  # hidden or disliked
    last_used: Mapping[str, datetime]  # item id -> when the user last did anything with it out of interest
    strongest: Mapping[str, EventKind]  # item id -> the strongest thing the user did with it

    @property
    def likes(self) -> Mapping[str, float]:
        """The strengths above 0."""
        return {item: strength for item, strength in self.strengths.items() if strength > 0}

    @property
    def is_cold(self) -> bool:
        """True if no interest is known."""
        return not self.recent


def build_profile(user: str, events: Iterable[DatedEvent], weights: EventWeights, now: datetime) -> UserProfile:
    """Return what the events up to `now` say about a user; later events do not exist for it.

    Args:
        user: whose profile it is; the events are taken to be theirs.
        events: in any order.
        weights: what each kind of event counts, and how it fades.
        now: the moment the profile describes.
    """
    # the order in which events of one moment were sent must not matter
    past = sorted((event for event in events if event.time <= now), key=lambda event: (event.time, event.item))
    unwanted = frozenset(event.item for event in past if event.event in UNWANTED_KINDS)
    used = [event for event in past if event.event in INTEREST_KINDS]
    liked = [event for event in used if event.is_interest and event.item not in unwanted]
    strongest: dict[str, EventKind] = {}
    for event in liked:
        strongest[event.item] = max(strongest.get(event.item, event.event), event.event, key=INTEREST_KINDS.index)
    return UserProfile(
        user=user,
        strengths=sum_strengths(past, weights, now),
        recent=tuple(dict.fromkeys(event.item for event in reversed(liked))),
        bought=frozenset(event.item for event in past if event.event is EventKind.BUY),
        unwanted=unwanted,
        last_used={event.item: event.time for event in used},
        strongest=strongest,
    )
