"""The addresses of OpenAI's interface: `/chat/completions`, `/embeddings`, `/models`."""

import base64
import functools
import struct
from typing import Any

from fastapi import APIRouter, Request, Response

from apps.server.connection import ClientGoneError
from apps.server.event_stream import EventStream, encode_event
from apps.server.openai_api.chat import ChatCompletion
from apps.server.openai_api.errors import error_body
from apps.server.openai_api.model_errors import model_refusals
from apps.server.openai_api.schemas import ChatRequest, EmbeddingsRequest
from apps.server.openai_api.service import ServiceCompletion
from apps.server.openai_api.turns import TurnMemory
from apps.server.owners import CurrentOwner, Owner
from apps.server.problems import ProblemError, explain_error
from apps.server.serving import Serving
from apps.server.tenants import CurrentServing

_CLIENT_LEFT = 499  # nobody reads it; the log shows it, as nginx would

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
    body: ChatRequest, request: Request, serving: CurrentServing, owner: CurrentOwner
) -> dict[str, Any] | Response:
    """Answer as OpenAI's address of this name does, whole or as server-sent events.

    The model `customer-service` answers the last message; what stands behind an answer (route, intent, citations) is
    in the field `tunechain` of the completion, in a stream of its last chunk. The model `chat` is the workspace's own.
    """
    found = _find(body.model, serving, owner)
    work: ServiceCompletion | ChatCompletion
    if body.model == "customer-service":
        memory: TurnMemory = request.app.state.turns
        work = ServiceCompletion.of(body, found, owner=owner.name, memory=memory)
    elif body.model == "chat":
        work = ChatCompletion.of(body, found)
    else:
        raise _no_model()
    if body.stream:
        return EventStream(work.events(serving.admission), show_error=_show_error)
    try:
        return await work.answer(request, serving.admission)
    except ClientGoneError:
        return Response(status_code=_CLIENT_LEFT)


@router.post("/embeddings", summary="Turn texts into vectors")
async def embed(body: EmbeddingsRequest, serving: CurrentServing, owner: CurrentOwner) -> dict[str, Any]:
    """Return a vector per text, in order; tokens are not counted, so there is no `usage`."""
    if body.model != "embeddings":
        raise _no_model()
    embeddings = _find(body.model, serving, owner)
    texts = [body.input] if isinstance(body.input, str) else list(body.input)
    with model_refusals():
        vectors = await serving.admission.run(functools.partial(embeddings.embed_documents, texts))
    encode = _base64 if body.encoding_format == "base64" else list
    data = [{"object": "embedding", "index": place, "embedding": encode(v)} for place, v in enumerate(vectors)]
    return {"object": "list", "model": body.model, "data": data}


@router.get("/models", summary="List the models")
async def list_models(serving: CurrentServing, owner: CurrentOwner) -> dict[str, Any]:
    """Return what the key may use as `model`."""
    return {"object": "list", "data": [_describe(name) for name in _offered(serving, owner)]}


@router.get("/models/{name}", summary="Show a model")
async def show_model(name: str, serving: CurrentServing, owner: CurrentOwner) -> dict[str, Any]:
    """Return one of the models that the key may use."""
    _find(name, serving, owner)
    return _describe(name)


def _offered(serving: Serving, owner: Owner) -> dict[str, Any]:
    """Return the models that a key may use; raw models are for staff."""
    chains = serving.ready_chains()
    offered: dict[str, Any] = {"customer-service": chains.customer_service}
    if owner.is_staff:
        offered |= {"chat": chains.chat, "embeddings": chains.embeddings}
    return {name: model for name, model in offered.items() if model is not None}


def _find(name: str, serving: Serving, owner: Owner) -> Any:
    found = _offered(serving, owner).get(name)
    if found is None:
        raise _no_model()
    return found


def _no_model() -> ProblemError:
    detail = "There is no such model for this key, or not for this address; GET /v1/models lists them."
    return ProblemError(404, detail, param="model", code="model_not_found")


def _describe(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tunechain"}


def _show_error(error: Exception) -> bytes:
    refusal = explain_error(error)
    return encode_event(error_body(refusal.status, refusal.detail, param=refusal.param, code=refusal.code))


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
