"""Routes of the applications: each is one call of one chain or model."""

import asyncio
import functools
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from apps.answer_router import read_budget
from apps.event_recorder import RecordedEvents
from apps.monitoring_view import AlertFilter, fit_alerts
from apps.server.auth import CurrentOwner, Owner, require_staff
from apps.server.problems import ProblemError
from apps.server.request_validation import refuse_unknown_parameters
from apps.server.schemas import (
    MAX_EVENTS,
    AlertsReply,
    AnswerBudgetReply,
    AskRequest,
    ClassifyRequest,
    EventsRequest,
    PostOutcome,
    PostsReply,
    PostsRequest,
    Problem,
    RecommendRequest,
)
from apps.server.service_run import ServiceRun
from apps.server.state import CurrentWorkspace, Workspace
from apps.server.streaming import EventStream, named_events, stream_service_run
from chains.customer_service import ServiceReply, ServiceRequest
from chains.recommendation import Recommendation
from llms import Classification
from retrievers import DatedEvent

_REFUSALS = {
    400: "The body is no usable JSON.",
    401: "There are keys, and the request has none that is valid.",
    403: "The key is a customer's, and the address is for staff.",
    404: "There is no such thing, or it is somebody else's.",
    409: "The id belongs to another message, or no person is awaited.",
    413: "The body is larger than 1 MiB, or holds too many events.",
    415: "The body is not declared as JSON.",
    422: "The request does not fit its schema, or the chain refuses it.",
    429: "The key asks too often, or all workers are busy; `Retry-After` says when to come back.",
    507: "There is no room on the disk; nothing of the request was kept.",
    503: "Still loading, or the workspace does not have this part.",
}
_USUAL = tuple(status for status in _REFUSALS if status not in (409, 507))
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
    for status, text in _REFUSALS.items()
}


def describe_replies(
    example: Any = None, *, only: Sequence[int] = _USUAL, also: Sequence[int] = ()
) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, for its documentation."""
    success: dict[int | str, dict[str, Any]] = {}
    if example is not None:
        success = {200: {"content": {"application/json": {"example": example}}}}
    return success | {status: _PROBLEMS[status] for status in (*only, *also)}


_ASK_EXAMPLE = {
    "text": "Let the battery rest between 20 % and 80 %.",
    "route": "answer",
    "intent": None,
    "probability": 0.31,
    "citations": [
        {"source": "phone-battery-care.md", "start": 120, "end": 163, "quote": "Let the battery rest between 20 % ..."}
    ],
    "reason": "no approved answer fits for sure; phone-battery-care.md does",
}
_EVENTS_EXAMPLE = """event: step
data: {"step": "intent", "milliseconds": 8.1}

event: route
data: {"route": "answer"}

event: text
data: {"text": "Let the battery rest between 20 % and 80 %."}

event: reply
data: {"text": "Let the battery rest between 20 % and 80 %.", "route": "answer", ...}
"""
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: step, route, text, and last reply or error.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS_EXAMPLE}},
    }
}
_CLASSIFY_EXAMPLE = [
    {
        "label": "negative",
        "probability": 0.94,
        "probabilities": {"negative": 0.94, "neutral": 0.05, "positive": 0.01},
        "in_scope": 0.97,
        "accepted": True,
    }
]
_EVENTS_EXAMPLE_REPLY = {"num_recorded": 1, "num_repeated": 0, "num_future_events": 0, "unknown_items": []}
_RECOMMEND_EXAMPLE = {
    "user": "u558",
    "items": [
        {
            "id": "i001",
            "title": "Over-ear headphones",
            "score": 0.42,
            "reason": "People who chose wireless earbuds also chose this.",
            "parts": {"interest": 0.4, "collaborative": 1.2, "taste": 0.3},
            "propensity": 1.0,
        }
    ],
    "list_id": "91f3c2ab7d04e815",
    "cold": False,
}

router = APIRouter(tags=["applications"])
_STAFF = [Depends(require_staff)]


@router.post("/ask", responses=describe_replies(_ASK_EXAMPLE), summary="Answer a customer")
async def ask(body: AskRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> ServiceReply:
    """Return an approved answer, one quoted from the knowledge base, a question back, or a hand-over to a person."""
    return await _run_of(body, workspace, owner).reply(workspace.admission)


@router.post(
    "/ask/stream",
    response_class=Response,
    responses=describe_replies() | _EVENTS,
    summary="Answer a customer step by step",
)
async def ask_step_by_step(body: AskRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> EventStream:
    """Send what happens while an answer is made: each `step` with its time, the `route`, each part of the `text`.

    The last event is the whole `reply`, or an `error` in the form of a refusal; the parts of the text joined are the
    text of the reply. A request that is refused before the first event gets an ordinary status code. When the client
    leaves, the work ends.
    """
    show = named_events(functools.partial(ServiceReply.model_dump, mode="json"))
    return stream_service_run(_run_of(body, workspace, owner), admission=workspace.admission, show=show)


@router.get(
    "/answer-budget",
    responses=describe_replies(only=[401, 403, 503]),
    dependencies=_STAFF,
    summary="Show the budget of wrong answers",
)
def show_answer_budget(workspace: CurrentWorkspace) -> AnswerBudgetReply:
    """Return the budget of wrong answers, the threshold fitted for it, and the bound that held-out messages prove."""
    fitted = read_budget(workspace.settings)
    if fitted is None:
        return AnswerBudgetReply(budget=None, known_questions=None)
    model, budget = fitted
    return AnswerBudgetReply(budget=budget, kinds=dict(model.kinds), known_questions=model.known_questions)


@router.post("/classify", responses=describe_replies(_CLASSIFY_EXAMPLE), dependencies=_STAFF, summary="Label texts")
async def classify(body: ClassifyRequest, workspace: CurrentWorkspace) -> list[Classification]:
    """Return a label with its calibrated probability for each text, in order."""
    classifier = workspace.classifier(body.model)
    replies: list[Classification] = await workspace.admission.run(functools.partial(classifier.batch, list(body.texts)))
    return replies


@router.post(
    "/posts",
    responses=describe_replies(PostsReply.model_config["json_schema_extra"], also=[507]),
    dependencies=_STAFF,
    summary="Watch posts",
)
async def watch(body: PostsRequest, workspace: CurrentWorkspace) -> PostsReply:
    """Give posts to the live monitor; return what became of each, and the alerts they opened or closed.

    What is answered is on the disk. A request that was not answered can be sent again: what had come is a duplicate.
    The monitor holds a post back for ten minutes of the stream's time, so an alert may come with a later request.
    """
    monitor = workspace.monitor()
    report = await workspace.admission.run(functools.partial(monitor.observe, body.posts))
    return PostsReply(posts=PostOutcome.of_all(body.posts, report), alerts=fit_alerts(report.alerts))


@router.get(
    "/alerts",
    responses=describe_replies(only=[401, 403, 404, 422, 503]),
    dependencies=[*_STAFF, Depends(refuse_unknown_parameters)],
    summary="Show alerts and trend",
)
def alerts(
    workspace: CurrentWorkspace,
    limit: Annotated[int, Query(ge=1, le=200, description="Alerts at most.")] = 200,
    before: Annotated[str | None, Query(max_length=10_000, description="`next` of the page before.")] = None,
    judged: Annotated[AlertFilter, Query(description="new: those that nobody has judged.")] = "all",
    *,
    trend: Annotated[bool, Query(description="Whether the trend comes too.")] = True,
) -> AlertsReply:
    """Return the latest alerts, and the trend of the recorded stream and of all posts received since.

    A reply has less than a megabyte: there are at most 500 points of a topic, fewer where there are many topics, posts
    in alerts are cut at 500 characters, and earlier alerts come page by page.
    """
    return workspace.monitor().snapshot(most=limit, before=before, judged=judged, with_trend=trend)


@router.post("/recommend", responses=describe_replies(_RECOMMEND_EXAMPLE), summary="Recommend items")
async def recommend(body: RecommendRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> Recommendation:
    """Return a list of items for a user, best first, each with its reason; for a customer's key, of its owner only."""
    if not owner.is_staff and body.user != owner.person:  # reasons tell what a user did
        raise ProblemError(404, "This key shows no such user.")
    chain = workspace.chain("recommendation")
    recorder = workspace.applications().events

    def make_list() -> Recommendation:
        events = body.events if recorder is None else tuple(recorder.judge(body.events))
        result: Recommendation = chain.invoke(body.model_copy(update={"events": events}))
        return result

    return await workspace.admission.run(make_list)


@router.post("/events", responses=describe_replies(_EVENTS_EXAMPLE_REPLY, also=[507]), summary="Record events")
async def record_events(body: EventsRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> RecordedEvents:
    """Keep what people did with items; once this is answered it is on the disk and counts in the next list.

    A customer's key records events of its owner only. The text of a comment says whether it speaks for its item.
    """
    if len(body.events) > MAX_EVENTS:
        raise ProblemError(413, f"At most {MAX_EVENTS} events come in one request; send the others in another one.")
    if not owner.is_staff and any(event.user != owner.person for event in body.events):
        raise ProblemError(404, "This key shows no such user.")
    recorder = workspace.events()
    events: Sequence[DatedEvent] = body.events
    if any(event.text for event in events):
        events = await workspace.admission.run(functools.partial(recorder.judge, events))
    return await asyncio.to_thread(recorder.record, events)


def _run_of(body: AskRequest, workspace: Workspace, owner: Owner) -> ServiceRun:
    chain = workspace.chain("customer_service")
    return ServiceRun.of_question(chain, ServiceRequest(text=body.text), owner=owner.name)
