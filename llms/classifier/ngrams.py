"""Hashed character n-grams, the same as those of scikit-learn's HashingVectorizer(analyzer="char_wb").

Importing scikit-learn takes longer than a question and its answer, and a classifier needs nothing else of it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BLOCK_BYTES = 4


def count_ngrams(texts: Sequence[str], *, lengths: tuple[int, int], num_features: int) -> "csr_matrix":
    """Return how often each n-gram within a word stands in each text, (texts, num_features) float32.

    Args:
        lengths: of the shortest and the longest n-gram, in characters; a word has a space at each end.
        num_features: a power of two; n-grams of one hash are counted together.
    """
    from scipy.sparse import csr_matrix

    column: dict[str, int] = {}  # of an n-gram in `hashes`
    rows: list[int] = []
    found: list[int] = []
    for row, text in enumerate(texts):
        ngrams = [column.setdefault(ngram, len(column)) for ngram in _ngrams(text, *lengths)]
        found += ngrams
        rows += [row] * len(ngrams)
    hashes = np.abs(_murmur3([ngram.encode() for ngram in column]).astype(np.int64)) % num_features
    counts = csr_matrix(
        (np.ones(len(found), dtype=np.float32), (np.array(rows, dtype=np.int32), hashes[found])),
        shape=(len(texts), num_features),
    )
    counts.sum_duplicates()
    return counts


def _ngrams(text: str, shortest: int, longest: int) -> Iterator[str]:
    for word in text.lower().split():
        padded = f" {word} "
        for length in range(shortest, longest + 1):
            yield padded[:length]
            if length >= len(padded):  # a short word counts once
                break
            for start in range(1, len(padded) - length + 1):
                yield padded[start : start + length]


def _murmur3(keys: Sequence[bytes]) -> npt.NDArray[np.int32]:
    """Return the 32-bit MurmurHash3 of each key, with seed 0.

    References:
        Appleby, "MurmurHash3", MurmurHash3_x86_32, public domain.
    """
    hashes = np.zeros(len(keys), dtype=np.uint32)
    sizes = np.array([len(key) for key in keys], dtype=np.int64)
    for size in np.unique(sizes).tolist():  # keys of one size are hashed together
        at = np.flatnonzero(sizes == size)
        width = -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        padded = b"".join(keys[index].ljust(width, b"\0") for index in at.tolist())
        blocks = np.frombuffer(padded, dtype="<u4").reshape(len(at), -1)  # (keys, blocks)
        hashed = np.zeros(len(at), dtype=np.uint32)
        for number, block in enumerate(blocks.T):
            mixed = block * np.uint32(0xCC9E2D51)
            hashed ^= _rotate(mixed, 15) * np.uint32(0x1B873593)
            if (number + 1) * _BLOCK_BYTES <= size:  # the rest of a key that fills no block is mixed in only
                hashed = _rotate(hashed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        hashes[at] = _finish(hashed ^ np.uint32(size))
    return hashes.view(np.int32)


def _rotate(numbers: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint32]:
    return (numbers << np.uint32(bits)) | (numbers >> np.uint32(32 - bits))


def _finish(hashed: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    hashed = (hashed ^ (hashed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashed ^ (hashed >> np.uint32(16))
