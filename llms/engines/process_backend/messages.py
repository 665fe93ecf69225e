"""Messages between an engine's process and the one that asks it, as JSON.

Asked is "open", once, then "generate", "cancel", "expect" and "score"; answered is "ready" or "failed" once, then
"event" and "scores". A "pulse" each second says how many steps the engine has taken.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llms import errors
from llms.engines.adapters import Adapter
from llms.engines.constraints import Constraint, FreeText, InOrder, JsonSchema, OneOf, Pattern, Text
from llms.engines.requests import GenerationRequest, TokenEvent, TokenScore
from llms.errors import EngineError, TuneChainError
from llms.options import GenerationOptions

PULSE_S = 1.0

Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as it goes through a pipe."""
    return json.dumps(message).encode()


def decode(content: bytes) -> Message:
    """Return a message that came through a pipe."""
    message: Message = json.loads(content)
    return message


def request_message(number: int, request: GenerationRequest, *, wants_pieces: bool) -> Message:
    """Return the message that asks for an answer; events come with its number."""
    return {
        "do": "generate",
        "number": number,
        "prompt_ids": list(request.prompt_ids),
        "options": dataclasses.asdict(request.options),
        "constraint": _constraint_to_json(request.constraint),
        "adapter": None if request.adapter is None else str(request.adapter.folder),
        "cache_salt": request.cache_salt,
        "wants_pieces": wants_pieces,
    }


def request_of(message: Message) -> GenerationRequest:
    """Return the request of a message.

    Raises:
        TuneChainError: if its adapter is not there any more.
    """
    options = message["options"]
    return GenerationRequest(
        prompt_ids=message["prompt_ids"],
        options=GenerationOptions(**{**options, "stop": tuple(options["stop"])}),
        constraint=_constraint_of(message["constraint"]),
        adapter=adapter_of(message),
        cache_salt=message["cache_salt"],
        wants_pieces=message["wants_pieces"],
    )


def adapter_of(message: Message) -> Adapter | None:
    """Return the adapter that a message names.

    Raises:
        TuneChainError: if it is not there any more.
    """
    return None if message["adapter"] is None else Adapter.at(Path(message["adapter"]))


def event_message(number: int, event: TokenEvent) -> Message:
    """Return the message that brings an event of a request."""
    return {
        "is": "event",
        "number": number,
        "ids": event.ids,
        "scores": [[score.token_id, score.logprob, score.alternatives] for score in event.scores],
        "finish_reason": event.finish_reason,
        "error": None if event.error is None else error_to_json(event.error),
        "num_cached_tokens": event.num_cached_tokens,
        # the clock that Linux and macOS count from the machine's start, for all processes alike
        "first_token_at": event.first_token_at,
    }


def event_of(message: Message) -> TokenEvent:
    """Return the event of a message."""
    return TokenEvent(
        ids=tuple(message["ids"]),
        scores=tuple(
            TokenScore(token_id, logprob, tuple((other, chance) for other, chance in alternatives))
            for token_id, logprob, alternatives in message["scores"]
        ),
        finish_reason=message["finish_reason"],
        error=None if message["error"] is None else error_of(message["error"]),
        num_cached_tokens=message["num_cached_tokens"],
        first_token_at=message["first_token_at"],
    )


def error_to_json(error: Exception) -> list[str]:
    """Return an error as its kind and its words."""
    if isinstance(error, TuneChainError):
        return [type(error).__name__, str(error)]
    return [EngineError.__name__, f"the engine broke at work: {type(error).__name__}: {error}"]


def error_of(found: list[str]) -> TuneChainError:
    """Return an error of the same kind and words; kinds of no other module than `llms.errors` go through a pipe."""
    name, words = found
    kind = getattr(errors, name) if name in errors.__all__ else EngineError
    try:
        error: TuneChainError = kind(words)
    except TypeError:  # one that needs more than words
        return EngineError(words)
    return error


def _constraint_to_json(constraint: Constraint | None) -> list[Any] | None:
    match constraint:
        case None:
            return None
        case Text(words) | Pattern(words) | JsonSchema(words):
            return [type(constraint).__name__, words]
        case InOrder(parts) | OneOf(parts):
            return [type(constraint).__name__, [_constraint_to_json(part) for part in parts]]
        case FreeText(begun):
            return ["FreeText", [[opening, _constraint_to_json(part)] for opening, part in begun]]


def _constraint_of(found: list[Any] | None) -> Constraint | None:
    if found is None:
        return None
    name, content = found
    match name:
        case "Text":
            return Text(content)
        case "Pattern":
            return Pattern(content)
        case "JsonSchema":
            return JsonSchema(content)
        case "FreeText":
            begun = [(opening, _constraint_of(inner)) for opening, inner in content]
            return FreeText(tuple((opening, part) for opening, part in begun if part is not None))
    parts = tuple(part for inner in content if (part := _constraint_of(inner)) is not None)
    return InOrder(parts) if name == "InOrder" else OneOf(parts)
