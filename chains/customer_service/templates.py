"""Approved answers per intent, with slots filled from the customer's own message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

__all__ = ["FilledTemplate", "MissingSlot", "Slot", "TemplateBook"]

_SLOT = re.compile(r"\{(\w+)\}")


class Slot(BaseModel):
    """A piece of a template that the customer's message must hold.

    Attributes:
        pattern: regular expression that finds it; written by the operator, never taken from a user.
        ask: the question to the customer where it is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    ask: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            finds_nothing = re.compile(pattern).search("") is not None
        except (re.error, OverflowError, RecursionError) as error:
            msg = f"{pattern!r} is no regular expression: {error}"
            raise ValueError(msg) from error
        if finds_nothing:
            msg = f"{pattern!r} matches an empty text, so the slot would be filled with nothing; ask for a character"
            raise ValueError(msg)
        return pattern


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """An approved answer, ready to send."""

    text: str


@dataclass(frozen=True, slots=True)
class MissingSlot:
    """The slot that the message lacks, and the question that asks for it."""

    name: str
    ask: str


class TemplateBook(BaseModel):
    """The approved answer of each intent.

    Example:
        >>> book = TemplateBook(slots={"order": Slot(pattern="VT-[0-9]+", ask="Which order?")},
        ...                     answers={"track": "See order {order}."})
        >>> book.fill("track", "where is VT-12?")
        FilledTemplate(text='See order VT-12.')
        >>> book.fill("track", "where is it?")
        MissingSlot(name='order', ask='Which order?')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: Mapping[str, Slot] = {}
    answers: Mapping[str, str]

    @model_validator(mode="after")
    def _slots_are_defined(self) -> "TemplateBook":
        for intent, answer in self.answers.items():
            if stray := re.search(r"[{}]", _SLOT.sub("", answer)):
                msg = (
                    f"the answer for {intent!r} has a {stray.group()!r} that is not part of a slot; "
                    "braces only stand around a slot's name, like {order_number}"
                )
                raise ValueError(msg)
            if unknown := sorted(_slot_names(answer) - set(self.slots)):
                msg = f"the answer for {intent!r} uses {{{unknown[0]}}}, which is not under 'slots'; define it there"
                raise ValueError(msg)
        return self

    def __contains__(self, intent: str) -> bool:
        return intent in self.answers

    def fill(self, intent: str, message: str) -> FilledTemplate | MissingSlot:
        """Return the answer for `intent` with its slots taken from `message`, or the first slot it lacks."""
        answer = self.answers[intent]
        values = {}
        for name in sorted(_slot_names(answer)):
            found = re.search(self.slots[name].pattern, message)
            if found is None:
                return MissingSlot(name, self.slots[name].ask)
            values[name] = found.group(0)
        # only names are replaced: what stands inside a value is never read as a template again
        return FilledTemplate(_SLOT.sub(lambda slot: values[slot.group(1)], answer))


def _slot_names(answer: str) -> set[str]:
    return set(_SLOT.findall(answer))
