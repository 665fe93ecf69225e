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
    """Answer 200 once the chains are built, with what is available; 503 before, and once the server is to end."""
    health = workspace.health()
    is_draining = request.app.state.server.is_draining
    response.status_code = 200 if health.status == "ready" and not is_draining else 503
    return health
