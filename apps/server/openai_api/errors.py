"""Refusals in the form that OpenAI's clients read."""

import re
from collections.abc import Mapping

from fastapi.responses import JSONResponse

_PATHS = ("/v1/chat/", "/v1/embeddings", "/v1/models")
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")


def speaks_openai(path: str) -> bool:
    """Return whether the clients of an address expect OpenAI's form.

    Example:
        >>> speaks_openai("/v1/chat/completions"), speaks_openai("/v1/ask")
        (True, False)
    """
    return path.startswith(_PATHS)


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, object]:
    """Return the error object; `param` is left out where it is no plain name, since it may be any text of a client.

    Example:
        >>> error_body(404, "no such model", param="model", code="model_not_found")["error"]["type"]
        'invalid_request_error'
    """
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    named = param if param and _PLAIN_NAME.fullmatch(param) else None
    return {"error": {"message": message, "type": kind, "param": named, "code": code or _CODES.get(status)}}


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response for a refusal; what does not fit is 400 there, not 422."""
    status = 400 if status == 422 else status
    body = error_body(status, message, param=param, code=code)
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
