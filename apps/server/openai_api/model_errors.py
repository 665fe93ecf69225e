"""What a model raised, as a refusal that says whose turn it is to act."""

import contextlib
import logging
from collections.abc import Iterator

from apps.server.problems import ProblemError
from chains.errors import ChainInputError
from llms.errors import (
    ContextOverflowError,
    EngineBusyError,
    GenerationTimeoutError,
    InputTextError,
    OptionValueError,
    TuneChainError,
    UnknownOptionError,
    UnsupportedOptionError,
)

_log = logging.getLogger(__name__)

_CLIENT_ERRORS = (ChainInputError, InputTextError, OptionValueError, UnknownOptionError, UnsupportedOptionError)


@contextlib.contextmanager
def model_refusals() -> Iterator[None]:
    """Turn errors of a model that is called with a client's options into refusals.

    Raises:
        ProblemError: with status 400 for what the client can change, 429 if it can come back, 504 if time is up, and
            503, without details, for what only the operator can change.
    """
    try:
        yield
    except ContextOverflowError as error:
        raise ProblemError(400, str(error), param="messages", code="context_length_exceeded") from error
    except _CLIENT_ERRORS as error:
        raise ProblemError(400, str(error)) from error
    except EngineBusyError as error:
        raise ProblemError(
            429, "The model has too many requests; try again soon.", headers={"Retry-After": "1"}
        ) from error
    except GenerationTimeoutError as error:
        raise ProblemError(504, "The answer took too long; ask for a shorter one.") from error
    except TuneChainError as error:
        _log.error("a model cannot be used: %s", error)
        raise ProblemError(503, "The model cannot be used; the log of the server says why.") from error
