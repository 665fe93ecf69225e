"""Routes around lists of recommendations: items like another one, and who was there last."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from apps.server.auth import CurrentOwner, require_staff
from apps.server.problems import ProblemError
from apps.server.routes import describe_replies
from apps.server.schemas import WireId, wire_config
from apps.server.state import CurrentWorkspace
from chains.errors import UnknownItemError
from chains.recommendation import SimilarFinder, SimilarItems, SimilarRequest

_SIMILAR_EXAMPLE = {
    "item": "i001",
    "items": [
        {
            "id": "i007",
            "title": "Wireless earbuds",
            "price": 59.0,
            "tags": ["audio"],
            "score": 0.71,
            "reason": "Often chosen by people who chose Over-ear headphones.",
        }
    ],
}

router = APIRouter(tags=["applications"])


class Person(BaseModel):
    """Somebody who did something with items."""

    model_config = wire_config({"user": "u558", "num_events": 12, "last": "2026-03-02T09:30:00Z"})

    user: str
    num_events: int = Field(ge=1)
    last: datetime = Field(description="When they did something last.")


class PeopleReply(BaseModel):
    """Who did something with items, the latest first."""

    model_config = wire_config({"people": [{"user": "u558", "num_events": 12, "last": "2026-03-02T09:30:00Z"}]})

    people: tuple[Person, ...]


@router.get(
    "/items/{item:path}/similar", responses=describe_replies(_SIMILAR_EXAMPLE), summary="Find items like another one"
)
async def find_similar(
    item: Annotated[WireId, Path(description="Id of the item.")],
    workspace: CurrentWorkspace,
    owner: CurrentOwner,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    user: Annotated[WireId | None, Query(description="Whose hidden items are left out; of staff.")] = None,
) -> SimilarItems:
    """Return the items most like one, by their texts and by what people use together, each with its reason."""
    if not owner.is_staff and user not in (None, owner.person):
        raise ProblemError(404, "This key shows no such user.")
    chain = workspace.chain("recommendation")
    if not isinstance(chain, SimilarFinder):
        raise ProblemError(503, "The recommendation that is served finds no similar items.")
    request = SimilarRequest(item=item, k=k, user=user if owner.is_staff else owner.person)
    try:
        return await workspace.admission.run(lambda: chain.find_similar(request))
    except UnknownItemError as error:
        raise ProblemError(404, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


@router.get(
    "/people",
    responses=describe_replies(only=[401, 403, 503]),
    dependencies=[Depends(require_staff)],
    summary="Show who was there last",
)
async def show_people(workspace: CurrentWorkspace, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> PeopleReply:
    """Return who did something with items last, for staff who look at lists of others."""
    log = workspace.events().log
    found = await asyncio.to_thread(log.recent_users, limit)
    return PeopleReply(people=tuple(Person(user=user, num_events=count, last=last) for user, count, last in found))
