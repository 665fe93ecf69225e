"""Options of text generation, checked once when they are given."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from llms.errors import OptionValueError, UnknownOptionError

# LangChain's and OpenAI's names for options that have clearer names here
_OTHER_NAMES = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens", "timeout": "timeout_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """How long and how freely a model may answer.

    Attributes:
        max_new_tokens: length of the answer at most; `max_tokens` is understood too.
        temperature: 0 is greedy, so that a run can be repeated.
        top_p: keep the likeliest tokens that together reach this probability.
        top_k: keep this many of the likeliest tokens.
        min_p: drop tokens less likely than this share of the likeliest one.
        seed: the same seed gives the same answer, whatever else the engine does meanwhile.
        repetition_penalty: above 1, tokens of prompt and answer become less likely.
        presence_penalty: taken from the logit of each token that the answer already holds.
        frequency_penalty: the same, times the number of its occurrences.
        logprobs: None, or how many alternatives to report beside each chosen token's log probability.
        stop: texts, not token ids, before which the answer ends: one stop word may be several tokens.
        timeout_s: seconds after which the call fails; `timeout` is understood too.

    Example:
        >>> GenerationOptions(temperature=-1)
        Traceback (most recent call last):
            ...
        llms.errors.OptionValueError: temperature must be a number of at least 0, got -1
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: int | None = None
    stop: tuple[str, ...] = ()
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse values no model can honour."""
        for name, (is_right, expected) in _RULES.items():
            value = getattr(self, name)
            if value is not None and not _holds(is_right, value):
                msg = f"{name} must be {expected}, got {value!r}"
                raise OptionValueError(msg)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    @property
    def has_penalties(self) -> bool:
        """Whether earlier tokens change the chance of later ones."""
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": (lambda value: _is_count(value) and value >= 1, "a whole number of at least 1"),
    "temperature": (lambda value: 0 <= value < math.inf, "a number of at least 0"),
    "top_p": (lambda value: 0 < value <= 1, "in (0, 1]"),
    "top_k": (lambda value: _is_count(value) and value >= 1, "a whole number of at least 1"),
    "min_p": (lambda value: 0 <= value <= 1, "in [0, 1]"),
    "seed": (lambda value: _is_count(value) and 0 <= value < 2**63, "a whole number of at least 0"),
    "repetition_penalty": (lambda value: 0 < value < math.inf, "a number above 0"),
    "presence_penalty": (lambda value: -2 <= value <= 2, "in [-2, 2]"),
    "frequency_penalty": (lambda value: -2 <= value <= 2, "in [-2, 2]"),
    "logprobs": (lambda value: _is_count(value) and 0 <= value <= 20, "a whole number from 0 to 20"),
    "stop": (lambda value: all(isinstance(text, str) and text for text in value), "texts, none of them empty"),
    "timeout_s": (lambda value: 0 < value < math.inf, "a number of seconds above 0"),
}


def _holds(is_right: Callable[[Any], bool], value: Any) -> bool:
    try:
        return is_right(value)
    except TypeError:  # a text where a number belongs
        return False


def is_option(name: str) -> bool:
    """Return whether a call may set an option of this name, or of this other name for one.

    Example:
        >>> is_option("max_tokens"), is_option("device")
        (True, False)
    """
    return _OTHER_NAMES.get(name, name) in {field.name for field in fields(GenerationOptions)}


def merge_options(
    options: GenerationOptions, changes: Mapping[str, Any], *, stop: Sequence[str] | None = None
) -> GenerationOptions:
    """Return `options` with the changes of one call; a change to None leaves the option as it was.

    Raises:
        UnknownOptionError: for a name that is no option; nothing is ever ignored.
        OptionValueError: for a value that cannot be honoured.

    Example:
        >>> merge_options(GenerationOptions(), {"max_tokens": 5}).max_new_tokens
        5
    """
    named = {_OTHER_NAMES.get(name, name): value for name, value in changes.items() if value is not None}
    known = {field.name for field in fields(GenerationOptions)}
    if unknown := sorted({_OTHER_NAMES.get(name, name) for name in changes} - known):
        msg = f"unknown option {unknown[0]!r}; a call takes {', '.join(sorted(known))}"
        raise UnknownOptionError(msg)
    if stop is not None:
        named["stop"] = stop
    if "stop" in named:
        given = named["stop"]
        named["stop"] = (given,) if isinstance(given, str) else tuple(given)  # a lone text is one stop text
    return replace(options, **named)
