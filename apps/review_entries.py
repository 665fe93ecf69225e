"""Entries of past reviews, each with its source, and how many of them are in use."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from apps.errors import WorkspaceError
from chains.customer_service import KnownQuestion
from llms.field_errors import describe_errors
from llms.files import end_of_whole_lines, replace_text
from llms.finetuning.data import LabelledText


class ReviewSource(BaseModel):
    """Where a message stands that was reviewed, so that a deletion can follow it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    conversation: str
    turn: str = Field(description="The id of the answer that was looked at.")
    time: AwareDatetime


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, description="What the customer wrote.")
    source: ReviewSource | None = Field(default=None, description="None in entries of earlier versions.")


class ReviewedIntent(_Entry):
    """A message and what the customer wants: a new row to train on."""

    kind: Literal["intent"] = "intent"
    intent: str = Field(min_length=1)


class ReviewedWording(_Entry):
    """Another wording of a known question."""

    kind: Literal["wording"] = "wording"
    question_id: str


class ReviewedAnswer(_Entry):
    """A new known question with the answer that a person gave."""

    kind: Literal["answer"] = "answer"
    answer: str = Field(min_length=1)


ReviewedEntry: TypeAlias = Annotated[ReviewedIntent | ReviewedWording | ReviewedAnswer, Field(discriminator="kind")]
_ENTRY: TypeAdapter[ReviewedEntry] = TypeAdapter(ReviewedEntry)


class _Version(BaseModel):
    """How many lines of entries are in use, and how many were before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_use: int = Field(default=0, ge=0)
    previous: int | None = Field(default=None, ge=0)


class Reviews:
    """The reviewed entries of a workspace's customer service: `reviewed.jsonl` and `reviewed_version.json`.

    An entry changes nothing by itself: `tunechain service retrain` puts entries to use, all or none.

    Args:
        folder: of the records of customer service.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "reviewed.jsonl"
        self._version_path = folder / "reviewed_version.json"

    def add(self, entry: ReviewedEntry) -> None:
        """Append an entry; it is on the disk before this returns."""
        with self._path.open("a+b") as file:
            file.truncate(end_of_whole_lines(file))
            file.write(f"{entry.model_dump_json()}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[ReviewedEntry]:
        """Return all entries, the oldest first.

        Raises:
            WorkspaceError: if a line is none; the message names it.
        """
        return [entry for entry in self._lines() if entry is not None]

    def remove(self, is_unwanted: Callable[[ReviewedEntry], bool]) -> list[ReviewedEntry]:
        """Take entries out, of those in use as well, and return them."""
        lines = self._lines()
        removed = [entry for entry in lines if entry is not None and is_unwanted(entry)]
        if removed:
            # an empty line keeps the places of the others, so that one file changes and not its version as well
            left = (line and line not in removed and line.model_dump_json(exclude_none=True) for line in lines)
            replace_text(self._path, "".join(f"{line or ''}\n" for line in left))
        return removed

    def in_use(self) -> list[ReviewedEntry]:
        """Return the entries that customer service works with now."""
        return [entry for entry in self._lines()[: self._version().in_use] if entry is not None]

    def use_all(self) -> None:
        """Put all entries to use; `go_back` undoes that once."""
        self._write(_Version(in_use=len(self._lines()), previous=self._version().in_use))

    def go_back(self) -> None:
        """Use the entries that were in use before.

        Raises:
            WorkspaceError: if there is no earlier version.
        """
        previous = self._version().previous
        if previous is None:
            msg = "there is no earlier version to go back to; one is kept when `tunechain service retrain` promotes"
            raise WorkspaceError(msg)
        self._write(_Version(in_use=previous))

    def _lines(self) -> list[ReviewedEntry | None]:
        """Return the entry of each line; None where one was removed."""
        if not self._path.exists():
            return []
        # a last line without its end was never acknowledged: the process was killed while it wrote
        *lines, _ = self._path.read_bytes().split(b"\n")
        return [self._entry(number, line) if line else None for number, line in enumerate(lines, start=1)]

    def _entry(self, number: int, line: bytes) -> ReviewedEntry:
        try:
            return _ENTRY.validate_json(line)
        except ValidationError as error:
            msg = f"line {number} of {self._path} is no reviewed entry: {describe_errors(error)}; remove it"
            raise WorkspaceError(msg) from error

    def _version(self) -> _Version:
        if not self._version_path.exists():
            return _Version()
        try:
            return _Version.model_validate_json(self._version_path.read_text("utf-8"))
        except ValidationError as error:
            msg = f"{self._version_path} cannot be read: {describe_errors(error)}; restore it or delete it"
            raise WorkspaceError(msg) from error

    def _write(self, version: _Version) -> None:
        new = self._version_path.with_suffix(".new")
        new.write_text(json.dumps(version.model_dump()) + "\n", encoding="utf-8")
        new.replace(self._version_path)


def training_rows(entries: Sequence[ReviewedEntry]) -> list[LabelledText]:
    """Return the rows to train on that entries bring."""
    return [LabelledText(entry.text, entry.intent) for entry in entries if isinstance(entry, ReviewedIntent)]


def with_reviewed(questions: Sequence[KnownQuestion], entries: Sequence[ReviewedEntry]) -> list[KnownQuestion]:
    """Return known questions with the wordings and answers of entries added; a wording of an unknown one is dropped."""
    book = {question.id: question for question in questions}
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, ReviewedAnswer):
            name = f"reviewed-{number}"
            book[name] = KnownQuestion(id=name, question=entry.text, answer=entry.answer)
        elif isinstance(entry, ReviewedWording) and entry.question_id in book:
            question = book[entry.question_id]
            book[question.id] = question.model_copy(update={"wordings": (*question.wordings, entry.text)})
    return list(book.values())
