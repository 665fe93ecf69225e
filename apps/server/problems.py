"""Refusals: one table from errors to statuses, shown as RFC 9457 problem documents or in OpenAI's form.

A client never reads its own input again in them, nor anything of this machine.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from apps.errors import DiskFullError, ReviewError, UnknownAlertError, UnknownGroupError
from apps.server.schemas import FieldProblem, Problem
from chains.errors import (
    ChainInputError,
    ConversationBusyError,
    ConversationStorageError,
    MessageIdError,
    NoPersonAwaitedError,
    UnknownConversationError,
)
from llms.errors import (
    ContextOverflowError,
    EngineBusyError,
    EngineStoppedError,
    GenerationTimeoutError,
    InputTextError,
    OptionValueError,
    TuneChainError,
    UnknownOptionError,
    UnsupportedOptionError,
)
from llms.field_errors import describe_fault, field_of

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
    504: "The answer took too long",
    507: "The disk is full",
}
_MAX_DETAIL_CHARS = 500  # a message that names what was wrong may hold an id; it must not hold a page

_OPENAI_PATHS = ("/v1/chat/", "/v1/embeddings", "/v1/models")
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")


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


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a client is told about an error.

    Attributes:
        kinds: the errors that are meant.
        status: of the response.
        detail: None if the error's own words are for the client.
        param: as of `ProblemError`; so is `code`.
        retry_after_s: seconds after which it is worth another try.
    """

    kinds: tuple[type[TuneChainError], ...]
    status: int
    detail: str | None = None
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None


# the first that fits counts; what fits none is for the operator alone
_RULES = (
    _Rule((UnknownAlertError,), 404, "There is no such alert."),
    _Rule((UnknownGroupError,), 404),
    _Rule((ReviewError,), 409),
    _Rule((UnknownConversationError,), 404, "There is no such conversation."),
    _Rule((NoPersonAwaitedError,), 409, "No person is awaited in this conversation; the assistant answers it."),
    _Rule((MessageIdError,), 409, "This id belongs to another message of the conversation; give each message its own."),
    _Rule(
        (ConversationBusyError,),
        429,
        "Too many messages of this conversation wait already; send this one again later.",
        retry_after_s=1,
    ),
    _Rule(
        (ConversationStorageError,),
        503,
        "Conversations cannot be stored now; what was answered is intact. Try again later.",
    ),
    _Rule(
        (DiskFullError,),
        507,
        "The disk of the server is full: nothing of this was stored, what was acknowledged before is intact. Send it "
        "again later.",
    ),
    _Rule((ContextOverflowError,), 422, param="messages", code="context_length_exceeded"),
    _Rule((ChainInputError, InputTextError), 422),
    _Rule((EngineBusyError,), 429, "The model has too many requests; try again soon.", retry_after_s=1),
    _Rule((EngineStoppedError,), 503, "The model is being loaded again; ask again in some seconds.", retry_after_s=5),
    _Rule((GenerationTimeoutError,), 504, "The answer took too long; ask for a shorter one."),
)
_CHOSEN_OPTIONS = _Rule((OptionValueError, UnknownOptionError, UnsupportedOptionError), 422)
_NOT_USABLE = _Rule((TuneChainError,), 503, "A part of the service cannot be used; the log of the server says why.")


def explain_error(error: Exception, *, client_chooses_options: bool = False) -> ProblemError:
    """Return what a client is told about an error.

    What is wrong with its input is said; what is wrong with us, such as folder names, is kept for the log.

    Args:
        error: of any kind.
        client_chooses_options: whether the options of models come from the client; else a wrong one is ours.

    Example:
        >>> explain_error(MessageIdError("the id m1 ...")).status
        409
    """
    if isinstance(error, ProblemError):
        return error
    if not isinstance(error, TuneChainError):
        _log.error("an answer broke off", exc_info=error)
        return ProblemError(500, "The answer broke off; the log of the server says why.")
    rules = (*_RULES, _CHOSEN_OPTIONS, _NOT_USABLE) if client_chooses_options else (*_RULES, _NOT_USABLE)
    rule = next(rule for rule in rules if isinstance(error, rule.kinds))
    if rule.status in (503, 507):
        _log.error("a part of the service cannot be used: %s", error)
    headers = None if rule.retry_after_s is None else {"Retry-After": str(rule.retry_after_s)}
    detail = str(error) if rule.detail is None else rule.detail
    return ProblemError(rule.status, detail, headers=headers, param=rule.param, code=rule.code)


# --- the two forms


def speaks_openai(path: str) -> bool:
    """Return whether the clients of an address expect OpenAI's form.

    Example:
        >>> speaks_openai("/v1/chat/completions"), speaks_openai("/v1/ask")
        (True, False)
    """
    return path.startswith(_OPENAI_PATHS)


def refuse(scope: Scope, error: ProblemError) -> JSONResponse:
    """Return the response for a refusal, in the form that clients of the address read."""
    if speaks_openai(scope.get("path", "")):
        # what does not fit is 400 there, not 422
        status = 400 if error.status == 422 else error.status
        return JSONResponse(openai_error(error), status_code=status, headers=dict(error.headers or {}))
    return problem_response(error.status, error.detail, headers=error.headers)


def refuse_unread(scope: Scope, error: ProblemError) -> JSONResponse:
    """Return the response for a refusal before the body was read, after which the connection cannot be used again."""
    response = refuse(scope, error)
    if scope["method"] == "POST":
        response.headers["Connection"] = "close"
    return response


def openai_error(error: ProblemError) -> dict[str, Any]:
    """Return a refusal as OpenAI's clients read it.

    Its `param` is left out where it is no plain name, since it may be any text of a client.

    Example:
        >>> openai_error(ProblemError(404, "no such model", param="model"))["error"]["type"]
        'invalid_request_error'
    """
    kind = _OPENAI_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    named = error.param if error.param and _PLAIN_NAME.fullmatch(error.param) else None
    code = error.code or _OPENAI_CODES.get(error.status)
    return {"error": {"message": error.detail[:_MAX_DETAIL_CHARS], "type": kind, "param": named, "code": code}}


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


# --- what reaches the application


def add_problem_handlers(app: FastAPI) -> None:
    """Let every refusal leave the app in the form that its client reads."""
    app.add_exception_handler(ProblemError, _show_error)
    app.add_exception_handler(RequestValidationError, _show_schema_errors)
    app.add_exception_handler(HTTPException, _show_http_error)
    app.add_exception_handler(TuneChainError, _show_error)


async def _show_error(request: Request, error: Exception) -> JSONResponse:
    is_openai = speaks_openai(request.url.path)
    return refuse(request.scope, explain_error(error, client_chooses_options=is_openai))


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
    param = field_of({**entry, "loc": entry["loc"][1:]})
    if entry["type"] == "extra_forbidden":
        return ProblemError(400, "This parameter is not known.", param=param, code="unknown_parameter")
    return ProblemError(400, describe_fault(entry), param=param)


def _field_problem(entry: Mapping[str, Any]) -> FieldProblem:
    """Return field and message; the last part of an unknown field's path is the client's own text and is left out."""
    unknown = entry["type"] == "extra_forbidden"
    path = entry["loc"][:-1] if unknown else entry["loc"]
    message = "holds a field that is not known; /docs lists the fields" if unknown else describe_fault(entry)
    return FieldProblem(field=field_of({**entry, "loc": path}), message=message)
