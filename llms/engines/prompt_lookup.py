"""Guessing the next tokens from what the text already holds, so that several can be checked in one pass."""

from collections.abc import Sequence

__all__ = ["guess_next"]


def guess_next(ids: Sequence[int], *, max_guesses: int = 8, ngram: int = 3) -> list[int]:
    """Return the tokens that followed the last time the text ended as it does now; none if it never did.

    Answers that quote their context repeat it token by token, so the guesses are mostly right there. A wrong
    guess costs nothing but the work of checking it: the answer is the same as without guessing.

    Example:
        >>> guess_next([5, 6, 7, 8, 9, 1, 5, 6, 7], max_guesses=2)
        [8, 9]

    References:
        Saxena, "Prompt lookup decoding", 2023.
    """
    for size in range(min(ngram, len(ids) - 1), 1, -1):
        tail = list(ids[-size:])
        for place in range(len(ids) - size - 1, -1, -1):
            if ids[place] == tail[0] and list(ids[place : place + size]) == tail:
                return list(ids[place + size : place + size + max_guesses])
    return []
