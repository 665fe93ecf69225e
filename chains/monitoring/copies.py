"""Copies: posts that repeat the text of another one."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable

from llms.texts import fold_text

_REMEMBERED_S = 48 * 3600.0  # since the text last came
_MAX_TEXTS = 100_000
_MIN_LETTERS = 10  # people write "app down" without copying each other
_LINK_OR_NAME = re.compile(r"https?://\S+|@\w+")
_IDEOGRAPHS = re.compile(r"[\u3400-\u9fff]")  # each says as much as two letters


class CopyFinder:
    """Tells whether a text came before within the last two days of the stream.

    Texts are compared by their letters and digits alone, without links and names that are addressed: a shared post
    gets another link, a reply another name. Short texts are never copies.

    Example:
        >>> finder = CopyFinder()
        >>> finder.is_copy("The app is down again!", time_s=0), finder.is_copy("@bank the APP is down again", time_s=60)
        (False, True)
        >>> finder.is_copy("app down", time_s=0), finder.is_copy("app down", time_s=60)
        (False, False)
    """

    def __init__(self) -> None:
        self._times_s: OrderedDict[int, float] = OrderedDict()  # sum of a text -> when it last came

    def is_copy(self, text: str, *, time_s: float) -> bool:
        """Return whether the text is a copy, and remember it; texts come in the order of their times."""
        letters = "".join(sign for sign in _LINK_OR_NAME.sub("", fold_text(text)) if sign.isalnum())
        if len(letters) + len(_IDEOGRAPHS.findall(letters)) < _MIN_LETTERS:
            return False
        key = int.from_bytes(hashlib.blake2b(letters.encode("utf-8", "replace"), digest_size=7).digest(), "big")
        before_s = self._times_s.pop(key, float("-inf"))
        self._times_s[key] = time_s
        while len(self._times_s) > _MAX_TEXTS or next(iter(self._times_s.values())) < time_s - _REMEMBERED_S:
            self._times_s.popitem(last=False)
        return time_s - before_s <= _REMEMBERED_S

    def dump(self) -> list[tuple[int, float]]:
        """Return what is remembered, as plain values."""
        return list(self._times_s.items())

    def load(self, state: Iterable[tuple[int, float]]) -> None:
        """Go on from what `dump` returned."""
        self._times_s = OrderedDict((key, time_s) for key, time_s in state)
