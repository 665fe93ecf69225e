"""Invisible characters: controls, zero-width ones, and those that turn the direction of writing."""

import re
import unicodedata

_KEPT_CONTROLS = "\n\t"
# zero-width joiners stay, words of some scripts need them
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible_text(text: str, *, keep_joiners: bool = False) -> str:
    r"""Return a text without the characters that show nothing or turn the direction of writing.

    Args:
        keep_joiners: leave in what shapes the letters beside it, as Persian, Hindi and emoji need it: for texts that
            are only shown. Where a link or a word may hide behind such a character, it goes, too.

    Example:
        >>> visible_text("pass\u200bword \u202ethree")
        'password three'
    """
    if text.isascii() and text.isprintable():
        return text
    if keep_joiners:
        return _INVISIBLE.sub("", text)
    return "".join(
        c for c in text if c in _KEPT_CONTROLS or unicodedata.category(c) not in ("Cc", "Cf", "Cn", "Co", "Cs")
    )
