"""Routes of learning from logs, for staff: groups that wait for a review, decisions on them, what is written."""

import asyncio
import functools
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from apps.server.auth import CurrentOwner, require_staff
from apps.server.routes import describe_replies
from apps.server.schemas import wire_config
from apps.server.state import CurrentWorkspace
from apps.service_learning.decisions import GroupDecision
from apps.service_learning.desk import LearningOverview
from apps.service_learning.publishing import Publication
from apps.service_learning.review import ReviewedGroup, ShownStatus

_READS = describe_replies(only=[401, 403, 422, 503])
_DECIDES = describe_replies(only=[400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 507])
_GROUP_EXAMPLE: dict[str, Any] = {
    "id": "g-3f2a9c",
    "status": "open",
    "use": None,
    "draft": {
        "name": "engraving_case",
        "wordings": ["can you engrave the case", "how much is an engraving"],
        "answers": [{"text": "Engraving is free.", "count": 31, "worked": 0.94}],
        "template": "Engraving is free.",
        "confidence": 0.93,
        "num_requests": 38,
        "num_customers": 35,
    },
    "can_split": True,
}

router = APIRouter(prefix="/learning", tags=["learning"], dependencies=[Depends(require_staff)])


class GroupsReply(BaseModel):
    """Groups of requests, the largest first."""

    model_config = wire_config({"groups": [_GROUP_EXAMPLE], "next": None})

    groups: tuple[ReviewedGroup, ...]
    next: int | None = Field(default=None, description="`skip` of the next page; null with the last one.")


class DecisionRequest(BaseModel):
    """One decision about a group, or about several that become one."""

    model_config = wire_config({"decision": {"kind": "accept", "group": "g-3f2a9c", "use": "intent"}})

    decision: GroupDecision


class DecisionReply(BaseModel):
    """The groups that a decision leaves, and how far the review is."""

    model_config = wire_config({"groups": [_GROUP_EXAMPLE], "overview": {}})

    groups: tuple[ReviewedGroup, ...]
    overview: LearningOverview


class UndoReply(BaseModel):
    """What was taken back."""

    model_config = wire_config({"undone": "accept", "overview": {}})

    undone: str | None = Field(description="The kind of the last step; null where there was none.")
    overview: LearningOverview


class PublishReply(BaseModel):
    """What was written into the records."""

    model_config = wire_config(
        {"publication": {"num_groups": 4, "files": ["intents.csv", "templates.yaml"]}, "overview": {}}
    )

    publication: Publication
    overview: LearningOverview


@router.get("", responses=_READS, summary="Show how far learning from logs is")
def show_overview(workspace: CurrentWorkspace) -> LearningOverview:
    """Return what was read from logs, and how many groups wait, are accepted, dropped and written into the records."""
    return workspace.learning.overview()


@router.get("/groups", responses=_READS, summary="Show groups of requests")
def show_groups(
    workspace: CurrentWorkspace,
    status: Annotated[ShownStatus, Query(description="open: those that wait for a person.")] = "open",
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
    skip: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> GroupsReply:
    """Return groups with their size, typical wordings, answers of the staff and a draft of the answer."""
    found = workspace.learning.list_groups(status, limit=limit + 1, skip=skip)
    return GroupsReply(groups=tuple(found[:limit]), next=skip + limit if len(found) > limit else None)


@router.post("/decisions", responses=_DECIDES, summary="Decide on a group")
async def decide(body: DecisionRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> DecisionReply:
    """Accept, rename, merge, split or drop groups, or edit an answer; nothing is written into the records by it."""
    groups = await asyncio.to_thread(functools.partial(workspace.learning.decide, body.decision, person=owner.name))
    return DecisionReply(groups=tuple(groups), overview=await asyncio.to_thread(workspace.learning.overview))


@router.post("/undo", responses=_DECIDES, summary="Take the last step back")
async def undo(workspace: CurrentWorkspace, owner: CurrentOwner) -> UndoReply:
    """Take back the last decision, or the last writing into the records, whoever did it."""
    undone = await asyncio.to_thread(functools.partial(workspace.learning.undo, person=owner.name))
    return UndoReply(undone=undone, overview=await asyncio.to_thread(workspace.learning.overview))


@router.post("/publish", responses=_DECIDES, summary="Write what is accepted into the records")
async def publish(workspace: CurrentWorkspace, owner: CurrentOwner) -> PublishReply:
    """Add rows, answers, known questions and articles to the files of customer service, all or none.

    They count in replies once the workspace is trained and indexed again.
    """
    publication = await asyncio.to_thread(functools.partial(workspace.learning.publish, person=owner.name))
    return PublishReply(publication=publication, overview=await asyncio.to_thread(workspace.learning.overview))
