"""Token ids to text while they come: whole characters only, and nothing that is not text."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Detokenizer"]

_REPLACEMENT = "\ufffd"


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
