"""Padded batches of token rows, of a bounded size."""

from collections.abc import Sequence

import numpy as np

from llms.arrays import IntArray


def plan_batches(lengths: Sequence[int], *, max_texts: int, max_tokens: int) -> list[list[int]]:
    """Return the positions of all texts in batches, longest texts first.

    Texts of like length share a batch, so that little is padded. Longest first, so that a batch that does not fit
    into memory fails at once and not after an hour.

    Args:
        lengths: tokens of each text.
        max_texts: texts in a batch at most.
        max_tokens: tokens in a batch at most, padding included; a longer text gets a batch of its own.

    Returns:
        Each position once. Texts of one length keep their order.

    Example:
        >>> plan_batches([3, 9, 4, 8], max_texts=64, max_tokens=18)
        [[1, 3], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])  # sorted() is stable
    batches: list[list[int]] = []
    begin = 0
    while begin < len(order):
        longest = max(1, lengths[order[begin]])
        size = max(1, min(max_texts, max_tokens // longest))
        batches.append(order[begin : begin + size])
        begin += size
    return batches


def pad_rows(
    rows: Sequence[IntArray], *, pad_id: int = 0, pads_left: bool = False, token_step: int = 1
) -> tuple[IntArray, IntArray]:
    """Return `rows` as one array and the mask that is 1 where a token is and 0 where it was padded.

    Returns:
        Two int64 arrays of shape (rows, longest row), the latter rounded up to a multiple of `token_step`.

    Example:
        >>> ids, mask = pad_rows([np.array([5, 6]), np.array([7])])
        >>> ids.tolist(), mask.tolist()
        ([[5, 6], [7, 0]], [[1, 1], [1, 0]])
    """
    longest = -(-max(len(row) for row in rows) // token_step) * token_step
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), longest) if pads_left else slice(len(row))
        ids[index, where] = row
        mask[index, where] = 1
    return ids, mask
