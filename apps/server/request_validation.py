"""Checks of a request before any schema sees it: the bytes of its body, and the names of its parameters."""

import json

from fastapi import Request
from fastapi.dependencies.models import Dependant

from apps.server.problems import ProblemError
from llms.errors import JsonFault, StrictJsonError
from llms.texts import parse_json

MAX_BODY_BYTES = 1 << 20
_FAULTS: dict[JsonFault, str] = {
    "constant": "The body holds NaN or an infinite number, which is no JSON number.",
    "key": "The body names a key twice in one object.",
    "number": "The body holds a number too large for a computer.",
}


def check_content_type(value: str) -> None:
    """Refuse everything but JSON; a form of another site cannot be sent with this type.

    Raises:
        ProblemError: with status 415.

    Example:
        >>> check_content_type("application/json; charset=utf-8")
    """
    if value.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "Send the header Content-Type: application/json, also with an empty body.")


def check_length(stated: str) -> None:
    """Refuse a number of bytes above the limit, and what is no number of bytes.

    Raises:
        ProblemError: with status 413.

    Example:
        >>> check_length("1000")
    """
    if not stated.isascii() or not stated.isdigit() or len(stated) > 12 or int(stated) > MAX_BODY_BYTES:
        raise ProblemError(413, f"At most {MAX_BODY_BYTES:,} bytes are read.")


def check_body(body: bytes) -> None:
    """Refuse JSON that programs read differently, and texts that no model or store may see.

    Refused are other encodings than UTF-8, NaN and infinite numbers, a key given twice, lone surrogates and NUL.

    Raises:
        ProblemError: with status 400; it says what kind of fault it is and never repeats the body.

    Example:
        >>> check_body(b'{"text": "hello"}')
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(400, f"The body is not UTF-8: see byte {error.start}.") from error
    if not text.strip():
        raise ProblemError(400, "The body is empty; send a JSON object.")
    try:
        value = parse_json(text)
        # the parser joins escaped surrogate pairs; whatever surrogate is left stands alone
        flat = json.dumps(value, ensure_ascii=False)
    except json.JSONDecodeError as error:
        raise ProblemError(400, f"The body is no JSON: see line {error.lineno}, column {error.colno}.") from error
    except StrictJsonError as error:
        raise ProblemError(400, _FAULTS[error.fault]) from error
    except RecursionError as error:
        raise ProblemError(400, "The body is nested too deeply.") from error
    except ValueError as error:  # Python refuses integers of more than 4,300 digits
        raise ProblemError(400, "The body holds a number with too many digits.") from error
    _check_characters(flat)


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a parameter of the address that its route does not know: a misspelt filter must not show everything.

    Raises:
        ProblemError: with status 422.
    """
    known = _parameter_names(request.scope["route"].dependant)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"known are {', '.join(sorted(known))}" if known else "none is known"
        raise ProblemError(422, f"There is no parameter {unknown[0][:100]!r}; {expected}.")


def _parameter_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_parameter_names, dependant.dependencies))


def _check_characters(flat: str) -> None:
    """Refuse NUL and lone surrogates in keys and texts of a JSON document written without escapes for letters."""
    # a NUL is written as \u0000; a backslash before it would be written twice
    if "\\u0000" in flat.replace("\\\\", ""):
        raise ProblemError(400, "The body holds a NUL character.")
    try:
        flat.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProblemError(400, "The body holds a lone surrogate, which is no character.") from error
