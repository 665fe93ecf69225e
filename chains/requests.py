"""Requests of the chains: each takes its own type, or a dict like it."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from chains.errors import ChainInputError
from llms.field_errors import describe_errors

_Request = TypeVar("_Request", bound=BaseModel)
_MAX_SHOWN = 3  # problems of one request


def parse_request(request: object, kind: type[_Request]) -> _Request:
    """Return a request in its type; values are not repeated in an error, as they may be those of a customer.

    Raises:
        ChainInputError: if it does not fit, with what is wrong where.

    Example:
        >>> class Call(BaseModel):
        ...     user: str
        >>> parse_request({"user": "u1"}, Call)
        Call(user='u1')
        >>> parse_request({"u": 1}, Call)
        Traceback (most recent call last):
        ...
        chains.errors.ChainInputError: expected a Call or a dict like it (user), got keys ['u']: user: is missing; ...
    """
    if isinstance(request, kind):
        return request
    try:
        return kind.model_validate(request)
    except ValidationError as error:
        shown = describe_errors(error, most=_MAX_SHOWN)
        got = f"keys {sorted(map(str, request))}" if isinstance(request, Mapping) else type(request).__name__
        fields = ", ".join(kind.model_fields)
        msg = f"expected a {kind.__name__} or a dict like it ({fields}), got {got}: {shown}"
        raise ChainInputError(msg) from error
