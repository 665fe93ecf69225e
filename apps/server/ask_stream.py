"""Answers to customers as server-sent events, while they are made."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Response

from apps.server.admission import Admission
from apps.server.event_stream import EventStream, encode_event
from apps.server.problems import explain_error, problem_document
from apps.server.schemas import AskRequest, Problem
from apps.server.service_run import ServiceRun
from apps.server.tenants import CurrentServing
from chains.customer_service import ServiceReply, ServiceRequest

_DESCRIPTION = "Server-sent events: step, route, text, and last reply or error."
_EXAMPLE = """event: step
data: {"step": "intent", "milliseconds": 8.1}

event: route
data: {"route": "answer"}

event: text
data: {"text": "Let the battery rest between 20 % and 80 %."}

event: reply
data: {"text": "Let the battery rest between 20 % and 80 %.", "route": "answer", ...}
"""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _DESCRIPTION,
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    422: {"description": "The request does not fit.", "model": Problem},
    429: {"description": "The key asks too often, or all workers are busy.", "model": Problem},
    503: {"description": "Still loading, or the workspace does not have this part.", "model": Problem},
}

router = APIRouter(tags=["applications"])


@router.post("/ask/stream", response_class=Response, responses=_RESPONSES, summary="Answer a customer step by step")
async def ask_step_by_step(body: AskRequest, serving: CurrentServing) -> EventStream:
    """Send what happens while an answer is made: each `step` with its time, the `route`, each part of the `text`.

    The last event is the whole `reply`, or an `error` in the form of a refusal; the parts of the text joined are the
    text of the reply. A request that is refused before the first event gets an ordinary status code. When the client
    leaves, the work ends.
    """
    run = ServiceRun(serving.require("customer_service"), ServiceRequest(text=body.text))
    return EventStream(_encoded(run, serving.admission), show_error=_show_error)


async def _encoded(run: ServiceRun, admission: Admission) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(run.events(admission)) as events:
        async for event in events:
            if isinstance(event, ServiceReply):
                yield encode_event(event.model_dump(mode="json"), event="reply")
                continue
            if "step" in event:
                step = {name: value for name, value in event.items() if name in {"step", "milliseconds"}}
                yield encode_event(step, event="step")
            if "route" in event:
                yield encode_event({"route": event["route"]}, event="route")
            if "text" in event:
                yield encode_event({"text": event["text"]}, event="text")


def _show_error(error: Exception) -> bytes:
    refusal = explain_error(error)
    return encode_event(problem_document(refusal.status, refusal.detail), event="error")
