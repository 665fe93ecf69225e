"""Refusals as RFC 9457 problem documents, in which a client never reads its own input again."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from apps.server.openai_api.errors import error_response, speaks_openai
from apps.server.schemas import FieldProblem, Problem
from chains.errors import (
    ChainInputError,
    ConversationBusyError,
    ConversationStorageError,
    MessageIdError,
    NoPersonAwaitedError,
    UnknownConversationError,
)
from llms.errors import ContextOverflowError, InputTextError, TuneChainError

_log = logging.getLogger(__name__)

_TITLES = {
    400: "The body is not usable JSON",
    401: "A key is needed",
    403: "This key does not open this",
    404: "There is nothing here",
    405: "This method is not allowed here",
    408: "The body took too long",
    409: "This does not fit what is there",
    413: "The body is too large",
    415: "Only JSON is read",
    422: "The request does not fit",
    429: "Too busy",
    500: "Something went wrong on the server",
    503: "Not available now",
}
_INPUT_ERRORS = (ChainInputError, InputTextError, ContextOverflowError)
_CONVERSATION_ERRORS: Mapping[type[TuneChainError], tuple[int, str]] = {
    UnknownConversationError: (404, "There is no such conversation."),
    NoPersonAwaitedError: (409, "No person is awaited in this conversation; the assistant answers it."),
    MessageIdError: (409, "This id belongs to another message of the conversation; give each message its own."),
    ConversationBusyError: (429, "Too many messages of this conversation wait already; send this one again later."),
    ConversationStorageError: (
        503,
        "Conversations cannot be stored now; what was answered is intact. Try again later.",
    ),
}
_MAX_DETAIL_CHARS = 500  # a message that names what was wrong may hold an id; it must not hold a page


class ProblemError(Exception):
    """A refusal with a status code and what the client can do about it.

    Args:
        status: of the response.
        detail: what the client can do.
        headers: of the response.
        param: the parameter that is at fault; only OpenAI's clients see it.
        code: a name for the fault; only OpenAI's clients see it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.param = param
        self.code = code


def refuse(scope: Scope, error: ProblemError) -> JSONResponse:
    """Return the response for a refusal, in the form that clients of the address read."""
    if speaks_openai(scope.get("path", "")):
        detail = error.detail[:_MAX_DETAIL_CHARS]
        return error_response(error.status, detail, param=error.param, code=error.code, headers=error.headers)
    return problem_response(error.status, error.detail, headers=error.headers)


def problem_response(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the problem document for a status code.

    Example:
        >>> problem_response(429, "Try again.").media_type
        'application/problem+json'
    """
    return JSONResponse(
        problem_document(status, detail, errors=errors),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def problem_document(status: int, detail: str, *, errors: Sequence[FieldProblem] = ()) -> dict[str, Any]:
    """Return a refusal as plain JSON values.

    Example:
        >>> problem_document(429, "Try again.")["title"]
        'Too busy'
    """
    problem = Problem(
        title=_TITLES.get(status, "The request was refused"),
        status=status,
        detail=detail[:_MAX_DETAIL_CHARS],
        errors=tuple(errors) or None,
    )
    return problem.model_dump(exclude_none=True)


def explain_error(error: Exception) -> ProblemError:
    """Return what a client is told about an error.

    What is wrong with its input is said; what is wrong with us, such as folder names, is kept for the log.

    Example:
        >>> explain_error(MessageIdError("the id m1 ...")).status
        409
    """
    if isinstance(error, ProblemError):
        return error
    for kind, (status, detail) in _CONVERSATION_ERRORS.items():
        if isinstance(error, kind):
            if status == 503:
                _log.error("%s", error)
            return ProblemError(status, detail, headers={"Retry-After": "1"} if status == 429 else None)
    if isinstance(error, _INPUT_ERRORS):
        return ProblemError(422, str(error))
    if isinstance(error, TuneChainError):
        _log.error("a part of the service cannot be used: %s", error)
        return ProblemError(503, "A part of the service cannot be used; its log says why.")
    _log.error("an answer broke off", exc_info=error)
    return ProblemError(500, "The answer broke off; the log of the server says why.")


def add_problem_handlers(app: FastAPI) -> None:
    """Let every refusal leave the app as a problem document."""
    app.add_exception_handler(ProblemError, _show_error)
    app.add_exception_handler(RequestValidationError, _show_schema_errors)
    app.add_exception_handler(HTTPException, _show_http_error)
    app.add_exception_handler(TuneChainError, _show_error)


async def _show_error(request: Request, error: Exception) -> JSONResponse:
    return refuse(request.scope, explain_error(error))


async def _show_schema_errors(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    if speaks_openai(request.url.path):
        return refuse(request.scope, _openai_problem(error))
    fields = [_field_problem(entry) for entry in error.errors()[:20]]
    first = fields[0] if fields else FieldProblem(field="body", message="is not valid")
    return problem_response(422, f"{first.field}: {first.message}", errors=fields)


async def _show_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    details = {404: "There is no such address; /docs lists them all.", 405: "/docs lists the methods of each address."}
    detail = details.get(error.status_code, "The request was refused.")
    return refuse(request.scope, ProblemError(error.status_code, detail, headers=error.headers))


def _openai_problem(error: RequestValidationError) -> ProblemError:
    """Return the first fault with its parameter, which may be one that does not exist."""
    entry = error.errors()[0]
    param = ".".join(str(part) for part in entry["loc"][1:])
    if entry["type"] == "extra_forbidden":
        return ProblemError(400, "This parameter is not known.", param=param, code="unknown_parameter")
    return ProblemError(400, str(entry["msg"]), param=param)


def _field_problem(entry: Mapping[str, Any]) -> FieldProblem:
    """Return place and message; the last place of an unknown field is the client's own text and is left out."""
    unknown = entry["type"] == "extra_forbidden"
    place = entry["loc"][:-1] if unknown else entry["loc"]
    message = "holds a field that is not known; /docs lists the fields" if unknown else str(entry["msg"])
    return FieldProblem(field=".".join(str(part) for part in place), message=message)
