"""Approved answers per intent, with slots filled from the customer's messages and from the operator's own systems."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llms.texts import fold_text

_SLOT = re.compile(r"\{(\w+)\}")

LookUp: TypeAlias = Callable[[str, Mapping[str, str]], str | None]
"""Name of a tool and its arguments to what it found, or None."""


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

    def find(self, message: str) -> str | None:
        """Return the first piece of the message that fits, in plain characters (`fold_text`), or None.

        Example:
            >>> Slot(pattern="VT-[0-9]+", ask="Which order?").find("Where is ＶＴ–２０４?")
            'VT-204'
        """
        # the message as it is comes second: a pattern may itself hold what folding changes, such as a full-width colon
        found = re.search(self.pattern, fold_text(message, keep_case=True)) or re.search(self.pattern, message)
        return (fold_text(found.group(), keep_case=True) or None) if found else None


class Lookup(BaseModel):
    """A piece of a template that a tool of the operator knows, such as the state of an order.

    Attributes:
        tool: its name.
        slots: what it is asked with; each is an argument of the tool.
        not_found: what the customer reads where the tool knows nothing of these; None hands over to a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    slots: tuple[str, ...] = Field(min_length=1)
    not_found: str | None = None


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """An approved answer, ready to send, and the slots it was filled with."""

    text: str
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MissingSlot:
    """The slot that the message lacks, and the question that asks for it."""

    name: str
    ask: str
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundNothing:
    """The tool that knows nothing, and what it was asked with."""

    tool: str
    say: str | None
    slots: Mapping[str, str] = field(default_factory=dict)


class TemplateBook(BaseModel):
    """The approved answer of each intent.

    Attributes:
        slots: pieces of answers that customers' messages hold.
        lookups: pieces of answers that tools know.
        titles: how an intent is called in a question to the customer; else its name without underscores.
        answers: intent -> its answer, with names of slots and lookups in braces.

    Example:
        >>> book = TemplateBook(slots={"order": Slot(pattern="VT-[0-9]+", ask="Which order?")},
        ...                     answers={"track": "See order {order}."})
        >>> book.fill("track", "where is VT-12?").text
        'See order VT-12.'
        >>> book.fill("track", "where is it?").ask
        'Which order?'
        >>> book.fill("track", "where is it?", known={"order": "VT-7"}).text
        'See order VT-7.'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: Mapping[str, Slot] = {}
    lookups: Mapping[str, Lookup] = {}
    titles: Mapping[str, str] = {}
    answers: Mapping[str, str]

    @model_validator(mode="after")
    def _names_are_defined(self) -> "TemplateBook":
        for intent, answer in self.answers.items():
            if stray := re.search(r"[{}]", _SLOT.sub("", answer)):
                msg = (
                    f"the answer for {intent!r} has a {stray.group()!r} that is not part of a slot; "
                    "braces only stand around a slot's name, like {order_number}"
                )
                raise ValueError(msg)
            if unknown := sorted(_names(answer) - set(self.slots) - set(self.lookups)):
                msg = (
                    f"the answer for {intent!r} uses {{{unknown[0]}}}, which is not under 'slots' or 'lookups'; "
                    "define it there"
                )
                raise ValueError(msg)
        for name, lookup in self.lookups.items():
            if name in self.slots or not set(lookup.slots) <= set(self.slots):
                msg = f"the lookup {name!r} must have a name of its own and ask with slots that are under 'slots'"
                raise ValueError(msg)
        if unknown := sorted(set(self.titles) - set(self.answers)):
            msg = (
                f"there is a title for {unknown[0]!r}, which has no answer; the intents are: {', '.join(self.answers)}"
            )
            raise ValueError(msg)
        return self

    def __contains__(self, intent: str) -> bool:
        return intent in self.answers

    def title(self, intent: str) -> str:
        """Return how the intent is called in a question to the customer."""
        return self.titles.get(intent, intent.replace("_", " "))

    def fill(
        self,
        intent: str,
        message: str,
        *,
        known: Mapping[str, str] | None = None,
        look_up: LookUp | None = None,
    ) -> FilledTemplate | MissingSlot | FoundNothing:
        """Return the answer for `intent`, or what stands in its way.

        Args:
            intent: one that has an answer.
            message: what the customer wrote; a slot found in it replaces a known one.
            known: slots of earlier messages.
            look_up: asks a tool; needed where the answer has lookups.
        """
        answer = self.answers[intent]
        lookups = {name: self.lookups[name] for name in sorted(_names(answer) & set(self.lookups))}
        slots = (_names(answer) & set(self.slots)).union(*(lookup.slots for lookup in lookups.values()))
        values: dict[str, str] = {}
        for name in sorted(slots):
            value = self.slots[name].find(message) or (known or {}).get(name)
            if value is None:
                return MissingSlot(name, self.slots[name].ask, values)
            values[name] = value
        pieces = dict(values)
        for name, lookup in lookups.items():
            found = None if look_up is None else look_up(lookup.tool, {slot: values[slot] for slot in lookup.slots})
            if found is None:
                say = None if lookup.not_found is None else _put(lookup.not_found, values)
                return FoundNothing(lookup.tool, say, values)
            pieces[name] = found
        return FilledTemplate(_put(answer, pieces), values)

    def find_slots(self, message: str) -> dict[str, str]:
        """Return every slot that the message holds, whatever it is about."""
        return {name: value for name, slot in self.slots.items() if (value := slot.find(message)) is not None}


def _put(answer: str, pieces: Mapping[str, str]) -> str:
    # only names are replaced: what stands inside a value is never read as a template again
    return _SLOT.sub(lambda slot: pieces.get(slot.group(1), slot.group(0)), answer)


def _names(answer: str) -> set[str]:
    return set(_SLOT.findall(answer))
