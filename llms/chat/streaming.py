"""Streams of visible text: tokens to characters, and the end before a stop text that may span several tokens."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "\ufffd"


class StopFilter:
    """Holds back text that may be the beginning of a stop text, and ends at the first whole one.

    Example:
        >>> stop = StopFilter(["STOP"])
        >>> stop.push("one ST"), stop.push("OP two"), stop.found
        ('one ', '', True)
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = tuple(stops)
        self.found = False
        self._held = ""

    def push(self, text: str) -> str:
        """Return what may be shown after `text` came in; nothing more once a stop text was found."""
        if self.found:
            return ""
        self._held += text
        # the first to be complete counts, so that the way a text is cut into pieces makes no difference
        complete = [(index + len(stop), index) for stop in self.stops if (index := self._held.find(stop)) >= 0]
        if complete:
            self.found = True
            shown, self._held = self._held[: min(complete)[1]], ""
            return shown
        keep = max((_overlap(self._held, stop) for stop in self.stops), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def finish(self) -> str:
        """Return the text still held back; at the end it can no longer become a stop text."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


class Detokenizer:
    """Turns a growing answer into text; the pieces joined are the text of all ids.

    Only the last few tokens are decoded again for each new one, since what a token looks like depends on its
    neighbours (spaces between words, bytes of one character) and on nothing further away.

    Args:
        hidden_ids: control tokens that are never shown.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, hidden_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._hidden_ids = hidden_ids
        self._ids: list[int] = []
        self._start = 0  # ids from here on are decoded again, so that the new ones have their neighbours
        self._shown = 0  # ids up to here are in what was returned

    def push(self, ids: Sequence[int]) -> str:
        """Return the text that `ids` add; half a character waits for its other half."""
        self._ids.extend(token_id for token_id in ids if token_id not in self._hidden_ids)
        text = self._new_text()
        if text.endswith(_REPLACEMENT):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return text

    def finish(self) -> str:
        """Return what is left; a character that was never completed is shown as broken."""
        text = self._new_text()
        self._start = self._shown = len(self._ids)
        return text

    def _new_text(self) -> str:
        before = self._decode(self._ids[self._start : self._shown])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _decode(self, ids: Sequence[int]) -> str:
        # without clean-up, which would change text that has already been shown
        text: Any = self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
        return str(text)
