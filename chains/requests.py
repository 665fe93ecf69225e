"""Requests of the chains: each takes its own type, or a dict like it."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from chains.errors import ChainInputError

_Request = TypeVar("_Request", bound=BaseModel)
_MAX_SHOWN = 3  # problems of one request


def parse_request(request: object, kind: type[_Request]) -> _Request:
    """Return a request in its type; values are not repeated in an error, as they may be those of a customer.

    Raises:
        ChainInputError: if it does not fit, with what is wrong where.

    Example:
        >>> class Visit(BaseModel):
        ...     user: str
        >>> parse_request({"user": "u1"}, Visit)
        Visit(user='u1')
        >>> parse_request({"u": 1}, Visit)
        Traceback (most recent call last):
        ...
        chains.errors.ChainInputError: expected a Visit or a dict like it (user), got keys ['u']: user: Field required
    """
    if isinstance(request, kind):
        return request
    try:
        return kind.model_validate(request)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        shown = "; ".join(f"{_location(problem['loc'])}{problem['msg']}" for problem in problems[:_MAX_SHOWN])
        more = f"; and {len(problems) - _MAX_SHOWN} more" if len(problems) > _MAX_SHOWN else ""
        got = f"keys {sorted(map(str, request))}" if isinstance(request, Mapping) else type(request).__name__
        fields = ", ".join(kind.model_fields)
        msg = f"expected a {kind.__name__} or a dict like it ({fields}), got {got}: {shown}{more}"
        raise ChainInputError(msg) from error


def _location(parts: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, parts))}: " if parts else ""
