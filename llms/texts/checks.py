"""The check that every text passes before a model or an index sees it."""

from llms.errors import InputTextError

# A tokenizer needs about 1 s per MB; longer texts belong into the document index, cut into chunks.
MAX_TEXT_CHARS = 100_000


def check_text(text: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Return `text` unchanged if a tokenizer can take it.

    Raises:
        InputTextError: if it is no text, holds NUL or a lone surrogate, or is longer than `max_chars`.

    Example:
        >>> check_text("退货要多久？")
        '退货要多久？'
    """
    if not isinstance(text, str):
        msg = f"expected a text, got {type(text).__name__}; pass a str"
        raise InputTextError(msg)
    if len(text) > max_chars:
        msg = f"text has {len(text):,} characters, at most {max_chars:,} are taken; shorten or split it"
        raise InputTextError(msg)
    if "\x00" in text:
        msg = f"text holds a NUL character at position {text.index(chr(0))}; remove it"
        raise InputTextError(msg)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            msg = f"text holds a lone surrogate at position {error.start}, which is no character; remove it"
            raise InputTextError(msg) from error
    return text
