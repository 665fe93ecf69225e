"""How a model may answer, checked once when it is said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from llms.errors import UnknownOptionError

__all__ = ["GenerationOptions", "merge_options"]

# LangChain's names for options that have clearer names here
_LANGCHAIN_NAMES = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """How long and how freely a model may answer.

    Example:
        >>> GenerationOptions(temperature=-1)
        Traceback (most recent call last):
            ...
        ValueError: temperature must be a number of at least 0, got -1
    """

    max_new_tokens: int = 256
    temperature: float = 0.0  # 0 = greedy, so that a run can be repeated
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()  # text, not token ids: one stop word may be several tokens

    def __post_init__(self) -> None:
        """Refuse values no model can honour."""
        if self.max_new_tokens < 1:
            msg = f"max_new_tokens must be at least 1, got {self.max_new_tokens}"
            raise ValueError(msg)
        if not 0 <= self.temperature < math.inf:
            msg = f"temperature must be a number of at least 0, got {self.temperature}"
            raise ValueError(msg)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            msg = f"top_p must lie in (0, 1], got {self.top_p}"
            raise ValueError(msg)
        if self.top_k is not None and self.top_k < 1:
            msg = f"top_k must be at least 1, got {self.top_k}"
            raise ValueError(msg)
        if not all(self.stop):
            msg = "a stop text must not be empty"
            raise ValueError(msg)


def merge_options(
    options: GenerationOptions, changes: Mapping[str, Any], *, stop: Sequence[str] | None = None
) -> GenerationOptions:
    """Return `options` with the changes of one call.

    Raises:
        UnknownOptionError: for a name that is no option; nothing is ever ignored.

    Example:
        >>> merge_options(GenerationOptions(), {"max_tokens": 5}).max_new_tokens
        5
    """
    named = {_LANGCHAIN_NAMES.get(name, name): value for name, value in changes.items()}
    known = {field.name for field in fields(GenerationOptions)}
    if unknown := sorted(set(named) - known):
        msg = f"unknown option {unknown[0]!r}; a call takes {', '.join(sorted(known))}"
        raise UnknownOptionError(msg)
    if stop is not None:
        named["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)  # a lone text is one stop text
    return replace(options, **named)
