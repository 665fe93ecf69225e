"""What a text may not hold, in either direction: private data of others, words of lists, labels of a classifier."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.runnables import Runnable, RunnableConfig

from chains.errors import ChainInputError
from llms import Classification
from llms.texts import fold_text, is_han
from llms.texts.private_data import find_private

FilterRule = Literal["private_data", "list", "label"]


@dataclass(frozen=True, slots=True)
class FilterFinding:
    """Why a text is held back, in names that logs may hold.

    Attributes:
        rule: which rule.
        name: the kind of private data, the name of the list, or the label.
    """

    rule: FilterRule
    name: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.name}"


class TextFilter:
    """Holds back texts that break a rule of the operator; what is approved by people needs no check of private data.

    Args:
        private_kinds: kinds of private data that a written answer may not tell, unless whoever asks told them; see
            `llms.texts.private_data`.
        incoming: name of a list -> words and phrases that hand a message to a person.
        outgoing: name of a list -> words and phrases that no answer may hold.
        classifier: judges texts in both directions.
        labels: those of the classifier that hold a text back.

    Raises:
        ChainInputError: if there are labels and no classifier, or a list holds an empty phrase.

    Example:
        >>> text_filter = TextFilter(private_kinds=["card"], outgoing={"advice": ["buy shares"]})
        >>> str(text_filter.find_outgoing("Pay with 4111 1111 1111 1111.", known=""))
        'private_data: card'
        >>> text_filter.find_outgoing("Pay with 4111 1111 1111 1111.", known="my card is 4111111111111111")
        >>> str(text_filter.find_outgoing("You should BUY  shares now", known=""))
        'list: advice'
    """

    def __init__(
        self,
        *,
        private_kinds: Collection[str] = (),
        incoming: Mapping[str, Sequence[str]] | None = None,
        outgoing: Mapping[str, Sequence[str]] | None = None,
        classifier: Runnable[str, Classification] | None = None,
        labels: Collection[str] = (),
    ) -> None:
        if labels and classifier is None:
            msg = f"the labels {', '.join(sorted(labels))} hold texts back, but no classifier is given"
            raise ChainInputError(msg)
        self._private_kinds = frozenset(private_kinds)
        self._incoming = _expressions(incoming or {})
        self._outgoing = _expressions(outgoing or {})
        self._classifier = classifier
        self._labels = frozenset(labels)

    def find_incoming(self, text: str, config: RunnableConfig | None = None) -> FilterFinding | None:
        """Return what holds a message back from being answered by a machine, or None."""
        return _listed(text, self._incoming) or self._labelled(text, config)

    def find_outgoing(self, text: str, *, known: str, config: RunnableConfig | None = None) -> FilterFinding | None:
        """Return what holds a written answer back, or None.

        Args:
            text: the answer, or a part of it.
            known: what was said and shown before it; private data that stands there is told to nobody new.
            config: of the run.
        """
        return self._private(text, known) or self.find_unwanted(text, config)

    def find_unwanted(self, text: str, config: RunnableConfig | None = None) -> FilterFinding | None:
        """Return what holds an approved answer back, or None: as `find_outgoing`, without private data."""
        return _listed(text, self._outgoing) or self._labelled(text, config)

    def _private(self, text: str, known: str) -> FilterFinding | None:
        if not self._private_kinds:
            return None
        found = [span for span in find_private(text) if span.kind in self._private_kinds]
        told = _compact(known) if found else ""
        new = next((span for span in found if _compact(span.text) not in told), None)
        return FilterFinding("private_data", new.kind) if new else None

    def _labelled(self, text: str, config: RunnableConfig | None) -> FilterFinding | None:
        if self._classifier is None or not self._labels or not text.strip():
            return None
        found = self._classifier.invoke(text, config)
        return FilterFinding("label", found.label) if found.accepted and found.label in self._labels else None


def _expressions(lists: Mapping[str, Sequence[str]]) -> dict[str, re.Pattern[str]]:
    expressions = {}
    for name, phrases in lists.items():
        folded = [fold_text(phrase) for phrase in phrases]
        if not all(folded):
            msg = f"the list {name!r} holds an empty phrase, which every text would hold; remove it"
            raise ChainInputError(msg)
        if folded:
            expressions[name] = re.compile("|".join(map(_as_words, folded)))
    return expressions


def _as_words(phrase: str) -> str:
    """Return an expression for a phrase as whole words; Chinese has no spaces, so its phrases stand anywhere."""
    before = "" if is_han(phrase[0]) or not phrase[0].isalnum() else r"(?<![^\W_])"
    behind = "" if is_han(phrase[-1]) or not phrase[-1].isalnum() else r"(?![^\W_])"
    return f"{before}{re.escape(phrase)}{behind}"


def _listed(text: str, lists: Mapping[str, re.Pattern[str]]) -> FilterFinding | None:
    folded = fold_text(text) if lists else ""
    return next((FilterFinding("list", name) for name, phrases in lists.items() if phrases.search(folded)), None)


def _compact(text: str) -> str:
    return "".join(character for character in fold_text(text) if character.isalnum())
