"""Health checks: liveness and readiness; neither waits for a model."""

from typing import Any

from fastapi import APIRouter, Request, Response

from apps.server.schemas import Health
from apps.server.state import CurrentWorkspace

router = APIRouter(tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Not ready, or nothing to offer."}}


@router.get("/livez", summary="Is the process alive?")
async def livez() -> dict[str, str]:
    """Answer as long as the process can answer anything."""
    return {"status": "alive"}


@router.get("/readyz", responses=_NOT_READY, summary="Can questions be asked?")
async def readyz(request: Request, response: Response, workspace: CurrentWorkspace) -> Health:
    """Answer 200 once the chains are built, with what is available, and 503 otherwise.

    It is 503 also while the chat model is loaded again, without room on the disk, and once the server is to end.
    """
    health = workspace.health()
    if request.app.state.server.is_draining:
        problems = (*health.problems, "The server is about to end.")
        health = health.model_copy(update={"status": "unavailable", "problems": problems})
    response.status_code = 200 if health.status == "ready" else 503
    return health
