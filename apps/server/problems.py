"""Refusals as RFC 9457 problem documents, in which a client never reads its own input again."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

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

__all__ = ["ProblemError", "add_problem_handlers", "as_problem", "problem_document", "problem_response", "refuse"]

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
    """A refusal with a status code and what the client can do about it."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def refuse(scope: Scope, error: ProblemError) -> JSONResponse:
    """Return the response for a refusal, in the form that clients of the address read."""
    del scope
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
    """Return a problem as JSON values.

    Example:
        >>> problem_document(404, "There is no such conversation.")["title"]
        'There is nothing here'
    """
    problem = Problem(
        title=_TITLES.get(status, "The request was refused"),
        status=status,
        detail=detail[:_MAX_DETAIL_CHARS],
        errors=tuple(errors) or None,
    )
    return problem.model_dump(exclude_none=True)


def as_problem(error: TuneChainError) -> ProblemError:
    """Return the refusal that a client is shown for an error of ours.

    What is wrong with its input it is told; what is wrong with us, such as folder names, goes to the log.

    Example:
        >>> as_problem(MessageIdError("the id m1 ...")).status
        409
    """
    for kind, (status, detail) in _CONVERSATION_ERRORS.items():
        if isinstance(error, kind):
            if status == 503:
                _log.error("%s", error)
            return ProblemError(status, detail, headers={"Retry-After": "1"} if status == 429 else None)
    if isinstance(error, _INPUT_ERRORS):
        return ProblemError(422, str(error))
    _log.error("a part of the service cannot be used: %s", error)
    return ProblemError(503, "A part of the service cannot be used; its log says why.")


def add_problem_handlers(app: FastAPI) -> None:
    """Let every refusal leave the app as a problem document."""
    app.add_exception_handler(ProblemError, _show_problem)
    app.add_exception_handler(RequestValidationError, _show_schema_errors)
    app.add_exception_handler(HTTPException, _show_http_error)
    app.add_exception_handler(TuneChainError, _show_our_error)


async def _show_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101  # it is registered for this type alone
    return refuse(request.scope, error)


async def _show_schema_errors(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [_field_problem(entry) for entry in error.errors()[:20]]
    first = fields[0] if fields else FieldProblem(field="body", message="is not valid")
    return problem_response(422, f"{first.field}: {first.message}", errors=fields)


async def _show_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    details = {404: "There is no such address; /docs lists them all.", 405: "/docs lists the methods of each address."}
    detail = details.get(error.status_code, "The request was refused.")
    return problem_response(error.status_code, detail, headers=error.headers)


async def _show_our_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TuneChainError)  # noqa: S101
    return refuse(request.scope, as_problem(error))


def _field_problem(entry: Mapping[str, Any]) -> FieldProblem:
    """Return place and message; the last place of an unknown field is the client's own text and is left out."""
    unknown = entry["type"] == "extra_forbidden"
    place = entry["loc"][:-1] if unknown else entry["loc"]
    message = "holds a field that is not known; /docs lists the fields" if unknown else str(entry["msg"])
    return FieldProblem(field=".".join(str(part) for part in place), message=message)
