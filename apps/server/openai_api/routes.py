"""Routes of OpenAI's interface: `/chat/completions`, `/embeddings`, `/models`."""

import base64
import functools
import struct
from typing import Any

from fastapi import APIRouter, Request, Response

from apps.server.auth import CurrentOwner, Owner
from apps.server.openai_api.chat import ChatCompletion
from apps.server.openai_api.schemas import ChatRequest, EmbeddingsRequest
from apps.server.openai_api.service import ServiceCompletion
from apps.server.openai_api.turns import TurnMemory
from apps.server.problems import ProblemError
from apps.server.state import CurrentWorkspace, Workspace

_ERROR_FIELDS = {name: {"type": ["string", "null"]} for name in ("message", "type", "param", "code")}
_ERROR_SCHEMA = {"type": "object", "properties": {"error": {"type": "object", "properties": _ERROR_FIELDS}}}
_ERROR = {"content": {"application/json": {"schema": _ERROR_SCHEMA}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request does not fit, or has a parameter that is not known.", **_ERROR},
    401: {"description": "There are keys, and the request has none that is valid.", **_ERROR},
    404: {"description": "No such model for this key.", **_ERROR},
    429: {"description": "The key asks too often, or all workers are busy.", **_ERROR},
    503: {"description": "Still loading.", **_ERROR},
}
router = APIRouter(tags=["openai"], responses=_REFUSALS)


@router.post("/chat/completions", response_model=None, summary="Continue a conversation")
async def complete_chat(
    body: ChatRequest, request: Request, workspace: CurrentWorkspace, owner: CurrentOwner
) -> dict[str, Any] | Response:
    """Answer as OpenAI's address of this name does, whole or as server-sent events.

    The model `customer-service` answers the last message; what stands behind an answer (route, intent, citations) is
    in the field `tunechain` of the completion, in a stream of its last chunk. The model `chat` is the workspace's own.
    """
    found = _find(body.model, workspace, owner)
    work: ServiceCompletion | ChatCompletion
    if body.model == "customer-service":
        memory: TurnMemory = request.app.state.turns
        work = ServiceCompletion.of(body, found, owner=owner.name, memory=memory)
    elif body.model == "chat":
        work = await ChatCompletion.of(body, found, text_filter=workspace.applications().text_filter)
    else:
        raise _no_model()
    if body.stream:
        return work.stream(workspace.admission)
    return await work.answer(workspace.admission)


@router.post("/embeddings", summary="Turn texts into vectors")
async def embed(body: EmbeddingsRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> dict[str, Any]:
    """Return a vector per text, in order; tokens are not counted, so there is no `usage`."""
    if body.model != "embeddings":
        raise _no_model()
    embeddings = _find(body.model, workspace, owner)
    texts = [body.input] if isinstance(body.input, str) else list(body.input)
    vectors = await workspace.admission.run(functools.partial(embeddings.embed_documents, texts))
    if body.dimensions is not None and body.dimensions != len(vectors[0]):
        detail = f"This encoder gives vectors of {len(vectors[0])} dimensions; send that number, or none."
        raise ProblemError(400, detail, param="dimensions")
    encode = _base64 if body.encoding_format == "base64" else list
    data = [{"object": "embedding", "index": index, "embedding": encode(v)} for index, v in enumerate(vectors)]
    return {"object": "list", "model": body.model, "data": data}


@router.get("/models", summary="List the models")
async def list_models(workspace: CurrentWorkspace, owner: CurrentOwner) -> dict[str, Any]:
    """Return what the key may use as `model`."""
    return {"object": "list", "data": [_describe(name) for name in _offered(workspace, owner)]}


@router.get("/models/{name}", summary="Show a model")
async def show_model(name: str, workspace: CurrentWorkspace, owner: CurrentOwner) -> dict[str, Any]:
    """Return one of the models that the key may use."""
    _find(name, workspace, owner)
    return _describe(name)


def _offered(workspace: Workspace, owner: Owner) -> dict[str, Any]:
    """Return the models that a key may use; raw models are for staff."""
    applications = workspace.applications()
    offered: dict[str, Any] = {"customer-service": applications.customer_service}
    if owner.is_staff:
        offered |= {"chat": applications.chat, "embeddings": applications.embeddings}
    return {name: model for name, model in offered.items() if model is not None}


def _find(name: str, workspace: Workspace, owner: Owner) -> Any:
    found = _offered(workspace, owner).get(name)
    if found is None:
        raise _no_model()
    return found


def _no_model() -> ProblemError:
    detail = "There is no such model for this key, or not for this address; GET /v1/models lists them."
    return ProblemError(404, detail, param="model", code="model_not_found")


def _describe(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tunechain"}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
