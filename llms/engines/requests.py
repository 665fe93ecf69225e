"""Requests to engines and the events they answer with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llms.engines.adapters import Adapter
from llms.engines.constraints import Constraint
from llms.options import GenerationOptions

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A chosen token's log probability and the likeliest alternatives, best first."""

    token_id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """Token ids to continue, and how.

    Attributes:
        prompt_ids: the whole prompt; text never crosses this border, so nothing is tokenised twice.
        constraint: what the answer must match, if anything.
        adapter: None for the base model.
        cache_salt: only requests with the same one share anything that is kept of them, such as the keys and values
            of a prompt or a compiled constraint; how long an answer takes tells nothing about any other's requests.
        is_stop: called on the engine's thread with each new token id; True ends the answer with that token.
        wants_pieces: deliver every token as it comes; else one event at the end.
    """

    prompt_ids: Sequence[int]
    options: GenerationOptions
    constraint: Constraint | None = None
    adapter: Adapter | None = None
    cache_salt: str = ""
    is_stop: Callable[[int], bool] | None = None
    wants_pieces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvent:
    """What is new in an answer. The last event, and only it, has a finish reason or an error.

    Attributes:
        ids: tokens since the last event; the token that ends a turn is never among them.
        num_cached_tokens: how many tokens of the prompt needed no work, since an earlier prompt began alike; None
            where the engine does not tell.
        first_token_at: of `time.perf_counter`, when the engine had chosen the first token.
    """

    ids: tuple[int, ...] = ()
    scores: tuple[TokenScore, ...] = ()
    finish_reason: FinishReason | None = None
    error: Exception | None = None
    num_cached_tokens: int | None = None
    first_token_at: float | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after this event."""
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True, slots=True)
class Step:
    """One token of one request, or the end of it without a further token; an error ends it alone."""

    token_id: int | None
    score: TokenScore | None = None
    finish_reason: FinishReason | None = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way through an engine; only the engine's thread changes it, but for `is_cancelled`."""

    request: GenerationRequest
    deliver: Callable[[TokenEvent], None]
    deadline: float
    ids: list[int] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)
    num_delivered: int = 0
    num_cached_tokens: int | None = None
    first_token_at: float | None = None
    is_cancelled: bool = False
