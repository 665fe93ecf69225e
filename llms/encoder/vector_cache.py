"""Caches of vectors: in memory, and in a LangChain byte store where a damaged entry is a miss."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from langchain_core.stores import BaseStore

from llms.arrays import FloatArray

_CHECKSUM_BYTES = 16
_AT_A_TIME = 4096
_VALUE_TYPE = np.dtype("<f4")  # little-endian on every machine, so that a store can be moved


class VectorCache:
    """Looks vectors up by the content of their texts, and has only the missing ones made.

    Args:
        store: any LangChain store of bytes.
        name: what the vectors depend on beside the text: model, engine, precision, role. Part of every key.
    """

    def __init__(self, store: BaseStore[str, bytes], *, name: str) -> None:
        self.store = store
        self.name = name

    def key(self, text: str) -> str:
        """Return the key of a text: letters, digits, `-` and `/`, which file stores take too."""
        return f"{self.name}/{hashlib.sha256(text.encode('utf-8')).hexdigest()}"

    def embed(self, texts: Sequence[str], make: Callable[[list[str]], FloatArray]) -> FloatArray:
        """Return the vectors of `texts`, in their order; `make` is called with those that are missing.

        Many texts are looked up and made a few thousand at a time, so that little is lost if the process ends.

        Returns:
            (len(texts), dimension) float32; `texts` must not be empty.
        """
        parts = [texts[begin : begin + _AT_A_TIME] for begin in range(0, len(texts), _AT_A_TIME)]
        return np.concatenate([self._embed_part(part, make) for part in parts])

    def _embed_part(self, texts: Sequence[str], make: Callable[[list[str]], FloatArray]) -> FloatArray:
        keys = [self.key(text) for text in texts]
        found = [decode_vector(key, value) for key, value in zip(keys, self.store.mget(keys), strict=True)]
        missing = [index for index, vector in enumerate(found) if vector is None]
        if missing:
            made = make([texts[index] for index in missing])
            self.store.mset([(keys[index], encode_vector(keys[index], made[row])) for row, index in enumerate(missing)])
            for row, index in enumerate(missing):
                found[index] = made[row]
        return np.stack([vector for vector in found if vector is not None])


class RecentVectors:
    """The vectors of the texts that were asked for last, in memory; safe to use from any thread.

    Args:
        max_texts: how many are kept; 384 numbers each make 20,000 of them 30 MB.

    Example:
        >>> recent = RecentVectors(max_texts=2)
        >>> recent.embed(["a", "b"], lambda texts: np.ones((len(texts), 2), dtype=np.float32)).shape
        (2, 2)
        >>> recent.embed(["b", "c"], lambda texts: np.zeros((len(texts), 2), dtype=np.float32)).tolist()
        [[1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, *, max_texts: int) -> None:
        self._max_texts = max_texts
        self._known: OrderedDict[str, FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str], make: Callable[[list[str]], FloatArray]) -> FloatArray:
        """Return the vectors of `texts`, in their order; `make` is called with those not asked for lately.

        Returns:
            (len(texts), dimension) float32; `texts` must not be empty.
        """
        with self._lock:
            found = {text: self._known[text] for text in texts if text in self._known}
        if missing := [text for text in dict.fromkeys(texts) if text not in found]:
            # outside of the lock: another text must not wait for these
            found.update(zip(missing, make(missing), strict=True))
        with self._lock:
            for text in texts:
                self._known[text] = found[text]
                self._known.move_to_end(text)
            while len(self._known) > self._max_texts:
                self._known.popitem(last=False)
        return np.stack([found[text] for text in texts])


def encode_vector(key: str, vector: FloatArray) -> bytes:
    """Return a vector as bytes that prove themselves: a checksum over the key and the values, then the values.

    Example:
        >>> value = encode_vector("a", np.array([0.6, 0.8], dtype=np.float32))
        >>> decode_vector("a", value).tolist() == np.array([0.6, 0.8], dtype=np.float32).tolist()
        True
        >>> decode_vector("b", value) is None
        True
    """
    values = np.ascontiguousarray(vector, dtype=_VALUE_TYPE).tobytes()
    return _checksum(key, values) + values


def decode_vector(key: str, value: bytes | None) -> FloatArray | None:
    """Return the vector, or None if the bytes are not exactly those that were written under this key."""
    if not isinstance(value, bytes):
        return None
    checksum, values = value[:_CHECKSUM_BYTES], value[_CHECKSUM_BYTES:]
    if not values or len(values) % _VALUE_TYPE.itemsize or checksum != _checksum(key, values):
        return None
    return np.frombuffer(values, dtype=_VALUE_TYPE).astype(np.float32)


def _checksum(key: str, values: bytes) -> bytes:
    return hashlib.blake2b(values, digest_size=_CHECKSUM_BYTES, key=hashlib.sha256(key.encode()).digest()).digest()
