"""Requests for lists: read and refused, named, and what of their events has happened by now."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from chains.errors import ChainInputError
from chains.recommendation.ranking import RankingOptions
from chains.recommendation.schema import RecommendationRequest
from chains.requests import parse_request
from retrievers import CLOCK_TOLERANCE, DatedEvent, ItemCatalogue


def read_request(message: RecommendationRequest | dict[str, Any]) -> RecommendationRequest:
    """Return a request.

    Raises:
        ChainInputError: if it is malformed, or brings events of another user.
    """
    request = parse_request(message, RecommendationRequest)
    _refuse_others(request)
    return request


def _refuse_others(request: RecommendationRequest) -> None:
    others = sorted({event.user for event in request.events} - {request.user})
    if others:
        msg = f"the events of a request must be those of its user {request.user!r}, got events of {others}"
        raise ChainInputError(msg)


def name_list(request: RecommendationRequest, now: datetime) -> str:
    """Return an id for what somebody asks at a moment.

    How long the list is to be changes nothing, nor in which order or how often events are sent.
    """
    told = f"{now.isoformat()} {request.model_dump_json(exclude={'k', 'events'})}"
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def choose_ranking(options: RankingOptions, request: RecommendationRequest) -> RankingOptions:
    """Return how one list is ranked: as the request says, else as the options do."""
    changes: dict[str, Any] = {
        "diversity": request.diversity,
        "method": request.diversity_method,
        "max_per_tag": request.max_per_tag,
        "popularity_discount": request.popularity_discount,
    }
    return replace(options, **{name: value for name, value in changes.items() if value is not None})


def find_unknown(request: RecommendationRequest, catalogue: ItemCatalogue) -> tuple[str, ...]:
    """Return the ids of a request that are no items, each once."""
    named = dict.fromkeys([*(event.item for event in request.events), *request.exclude])
    return tuple(item for item in named if item not in catalogue)


def settle_events(events: Iterable[DatedEvent], now: datetime) -> tuple[list[DatedEvent], int]:
    """Return the events that have happened, none of them dated after `now`, and how many have not happened."""
    given = list(events)
    happened = [event for event in given if event.time <= now + CLOCK_TOLERANCE]
    settled = [event if event.time <= now else event.model_copy(update={"time": now}) for event in happened]
    return settled, len(given) - len(settled)
