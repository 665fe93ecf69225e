"""Labelling session: the next question, the meaning of an answer, and undo."""

import difflib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apps.label_files import LabelFile
from llms.errors import InputTextError
from llms.finetuning.data import LabelledText
from llms.finetuning.labelling import Suggestion
from llms.texts import check_text

_MAX_CHOICES = 9  # what one key chooses
_MAX_LABEL_CHARS = 200
_NEARLY_EQUAL = 0.85

Suggest = Callable[[Sequence[LabelledText], Sequence[str]], list[Suggestion]]


@dataclass(frozen=True, slots=True)
class _Step:
    """What was done with a text; a skipped one has no label and no offset in the file."""

    suggestion: Suggestion
    label: str | None = None
    offset: int = 0


@dataclass(slots=True, kw_only=True)
class LabelSession:
    """The texts that are still to be labelled, in an order that every batch of answers makes anew.

    Attributes:
        file: takes each answer.
        labelled: all rows that have a label, old and new.
        remaining: texts that may still be asked about.
        suggest: (labelled, unlabelled) -> the next batch.
        named: labels that may lack examples.
    """

    file: LabelFile
    labelled: list[LabelledText]
    remaining: list[str]
    suggest: Suggest
    named: Sequence[str] = ()
    _queue: deque[Suggestion] = field(default_factory=deque, init=False)
    _steps: list[_Step] = field(default_factory=list, init=False)

    @property
    def num_new(self) -> int:
        """How many answers of this session stand in the file."""
        return sum(step.label is not None for step in self._steps)

    @property
    def labels(self) -> list[str]:
        """Every label met so far, the most frequent first, then those that were named only."""
        met = [label for label, _ in Counter(row.label for row in self.labelled).most_common()]
        return list(dict.fromkeys([*met, *self.named]))

    def current(self) -> Suggestion | None:
        """Return the text to ask about, after a new batch where the last one is done; None if there is no more."""
        if not self._queue:
            self._queue.extend(self.suggest(self.labelled, self.remaining))
        return self._queue[0] if self._queue else None

    def choices(self) -> list[str]:
        """Return at most nine labels to choose from, the likeliest first, else the most frequent."""
        suggestion = self.current()
        likeliest = list(suggestion.likeliest) if suggestion else []
        return list(dict.fromkeys([*likeliest, *self.labels]))[:_MAX_CHOICES]

    def answer(self, label: str) -> None:
        """Give the current text a label, which is in the file before this returns."""
        suggestion = self._queue[0]
        offset = self.file.append(suggestion.text, label)
        self._queue.popleft()
        self.labelled.append(LabelledText(suggestion.text, label))
        self.remaining.remove(suggestion.text)
        self._steps.append(_Step(suggestion, label, offset))

    def skip(self) -> None:
        """Leave the current text out for this session."""
        suggestion = self._queue.popleft()
        self.remaining.remove(suggestion.text)
        self._steps.append(_Step(suggestion))

    def undo(self) -> bool:
        """Ask about the last text again, whose row leaves the file; False if there is none."""
        if not self._steps:
            return False
        step = self._steps[-1]
        if step.label is not None:
            self.file.remove_from(step.offset, text=step.suggestion.text, label=step.label)
            self.labelled.pop()
        self._steps.pop()
        self.remaining.append(step.suggestion.text)
        self._queue.appendleft(step.suggestion)
        return True


def choose_label(typed: str, choices: Sequence[str], known: Sequence[str], *, guess: str | None) -> tuple[str, str]:
    """Return the label that was meant, and a remark; the label is empty if none was, and the remark says why.

    Args:
        typed: nothing for the guess, a number for a choice, or a label; after a `=` anything is a label, numbers too.
        choices: what is numbered, from 1.
        known: all labels so far; of one that differs in case only the spelling so far is taken.
        guess: what the model says, if it says anything.

    Example:
        >>> choose_label("", ["lost", "late"], ["lost", "late"], guess="lost")
        ('lost', '')
        >>> choose_label("2", ["lost", "late"], ["lost", "late"], guess="lost")
        ('late', '')
        >>> choose_label("refund", ["lost", "late"], ["lost", "late"], guess="lost")
        ('refund', 'new label')
        >>> choose_label("3", ["lost", "late"], ["lost", "late"], guess="lost")
        ('', "there is no choice 3; for a label of that name type '=3'")
    """
    text = typed.strip()
    if not text:
        return (guess, "") if guess else ("", "there is no guess yet; type a label, s to skip, q to quit")
    if text.isdecimal():
        if 1 <= int(text) <= len(choices):
            return choices[int(text) - 1], ""
        return "", f"there is no choice {text}; for a label of that name type '={text}'"
    return _typed_label(text.removeprefix("=").strip(), known)


def _typed_label(text: str, known: Sequence[str]) -> tuple[str, str]:
    try:
        label = check_text(text, max_chars=_MAX_LABEL_CHARS)
    except InputTextError as error:
        return "", str(error)
    if not label:
        return "", "after '=' comes a label"
    if same := [other for other in known if other.casefold() == label.casefold()]:
        return (label if label in same else same[0]), ""
    if near := difflib.get_close_matches(label, known, n=1, cutoff=_NEARLY_EQUAL):
        return label, f"new label, much like {near[0]!r}; u takes it back"
    return label, "new label"
