"""Companies that posts name: by name, alias or ticker."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from llms.texts import fold_text

ENTITY_PREFIX = "entity:"  # before the name of a company, where it is watched like a topic
_WORD = re.compile(r"[^\W_]+")
_TICKER = re.compile(r"(\$?)(?<![A-Za-z0-9])([A-Za-z0-9]+(?:[.\-][A-Za-z0-9]+)*)")
_SPACED = re.compile(r"[a-z0-9\u00c0-\u052f]", re.IGNORECASE)  # Latin, Greek and Cyrillic letters make words
_FIRST_LETTERS = 2  # of a name without word boundaries, by which it is looked up


class Entity(BaseModel):
    """A company, and how it is called.

    Example:
        >>> Entity(name="Apple", aliases=["苹果公司"], tickers=["AAPL"]).aliases
        ('苹果公司',)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="By which it is shown, and found.")
    aliases: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    tickers: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]*$")], ...] = Field(
        default=(), description='Signs at exchanges, such as "AAPL" or "600519".'
    )


class EntityLinker:
    """Finds the companies that a text names.

    Names are found in any case and as whole words; those in scripts without spaces, such as Chinese, wherever they
    stand. Of two names at one place the longer one counts. A ticker is found after a dollar sign in any case, and
    else as it is written; one of a single letter only after a dollar sign, since `A` is a word.

    Args:
        entities: in the order in which they are told.

    Example:
        >>> linker = EntityLinker([
        ...     Entity(name="Apple", aliases=("苹果公司",), tickers=("AAPL",)),
        ...     Entity(name="Apple Bank"),
        ... ])
        >>> linker.find("Apple falls, pineapple rises"), linker.find("今天苹果公司发布财报"), linker.find("buy $aapl")
        (('Apple',), ('Apple',), ('Apple',))
        >>> linker.find("at Apple Bank"), linker.find("an aapl")
        (('Apple Bank',), ())
    """

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        self._order: dict[str, int] = {}
        self._by_word: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._by_letters: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._tickers: dict[str, str] = {}  # as it is written
        self._dollar_tickers: dict[str, str] = {}  # in capitals
        for entity in entities:
            self._order.setdefault(entity.name, len(self._order))
            for name in (entity.name, *entity.aliases):
                self._add_name(fold_text(name), entity.name)
            for ticker in entity.tickers:
                self._dollar_tickers.setdefault(ticker.upper(), entity.name)
                if len(ticker) > 1:
                    self._tickers.setdefault(ticker, entity.name)
        for words in self._by_word.values():
            words.sort(key=lambda entry: -len(entry[0]))  # the longest first
        for letters in self._by_letters.values():
            letters.sort(key=lambda entry: -len(entry[0]))

    def _add_name(self, name: str, entity: str) -> None:
        words = tuple(_cut_words(name))
        if words and all(_SPACED.match(word) for word in words):
            self._by_word[words[0]].append((words, entity))
        elif words:
            self._by_letters[name[:_FIRST_LETTERS]].append((name, entity))

    def find(self, text: str) -> tuple[str, ...]:
        """Return the names of the companies in a text, each once."""
        if not self._order:
            return ()
        folded = fold_text(text)
        found = {*self._find_words(folded), *self._find_letters(folded), *self._find_tickers(text)}
        return tuple(sorted(found, key=self._order.__getitem__))

    def _find_words(self, text: str) -> Iterator[str]:
        words = _cut_words(text)
        at = 0
        while at < len(words):
            candidates = self._by_word.get(words[at], ())
            match = next((entry for entry in candidates if tuple(words[at : at + len(entry[0])]) == entry[0]), None)
            if match is not None:
                yield match[1]
            at += 1 if match is None else len(match[0])

    def _find_letters(self, text: str) -> Iterator[str]:
        at = 0 if self._by_letters else len(text)
        while at < len(text):
            starts = (text[at : at + length] for length in range(_FIRST_LETTERS, 0, -1))
            candidates = (entry for start in starts for entry in self._by_letters.get(start, ()))
            match = next((entry for entry in candidates if text.startswith(entry[0], at)), None)
            if match is not None:
                yield match[1]
            at += 1 if match is None else len(match[0])

    def _find_tickers(self, text: str) -> Iterator[str]:
        if not self._dollar_tickers:
            return
        for dollar, sign in _TICKER.findall(text):
            name = self._dollar_tickers.get(sign.upper()) if dollar else self._tickers.get(sign)
            if name is not None:
                yield name


def _cut_words(text: str) -> list[str]:
    """Return the words of a text; where it goes from letters that make words to others, a word ends."""
    words: list[str] = []
    for word in _WORD.findall(text):
        if word.isascii():
            words.append(word)
            continue
        part = ""
        for sign in word:
            is_spaced = bool(_SPACED.match(sign))
            if part and is_spaced != bool(_SPACED.match(part[-1])):
                words.append(part)
                part = ""
            part += sign
        words.append(part)
    return words
