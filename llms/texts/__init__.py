"""Functions of plain text that every layer uses: what is accepted, words, and writing systems."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.texts.checks import MAX_TEXT_CHARS, check_text
    from llms.texts.words import is_han, split_words

__all__ = [
    "MAX_TEXT_CHARS",
    "check_text",
    "is_han",
    "split_words",
]

__getattr__ = lazy_names(
    __name__,
    {"checks": ["MAX_TEXT_CHARS", "check_text"], "words": ["is_han", "split_words"]},
)
