"""Token texts to visible text: ends before a stop text, also where it spans several tokens."""

from collections.abc import Sequence

__all__ = ["StopFilter"]


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
        places = [(place + len(stop), place) for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)[1]], ""
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
