"""Keys and values of earlier prompts, for later ones that begin alike."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llms.engines.adapters import Adapter

if TYPE_CHECKING:
    from llms.engines.torch_backend.rows import Layers


Sharers = tuple[Adapter | None, str]  # what two prompts must have in common to share anything: adapter, cache salt
_MIN_TOKENS = 16  # shorter beginnings (a template's first words) save nothing worth the copying


class PrefixCache:
    """The most recently used prompts, up to a number of bytes.

    The adapter is part of the key: the same words have other keys and values under another adapter. The cache salt is
    too: who knows how fast a prompt is read would know whether somebody else had it read before.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._entries: OrderedDict[tuple[Sharers, bytes], tuple[npt.NDArray[np.int64], Layers]] = OrderedDict()

    def find(self, sharers: Sharers, ids: Sequence[int]) -> "tuple[int, Layers]":
        """Return the longest known beginning of `ids`, always shorter than it: its length, keys and values."""
        wanted = np.asarray(ids, dtype=np.int64)
        best, best_key = 0, None
        for key, (known, _) in self._entries.items():
            if key[0] == sharers and (size := _common(known, wanted)) > best:
                best, best_key = size, key
        best = min(best, len(ids) - 1)  # the last token has to be run: the next one comes from its logits
        if best_key is None or best < _MIN_TOKENS:
            return 0, []
        self._entries.move_to_end(best_key)
        return best, [(keys[:, :, :best], values[:, :, :best]) for keys, values in self._entries[best_key][1]]

    def add(self, sharers: Sharers, ids: Sequence[int], layers: "Layers") -> None:
        """Keep the keys and values of `ids`; what they begin with need not be kept any longer."""
        new = np.asarray(ids, dtype=np.int64)
        size = _num_bytes(layers)
        if len(new) <= _MIN_TOKENS or size > self.max_bytes:
            return
        for key in [
            key
            for key, (known, _) in self._entries.items()
            if key[0] == sharers and len(known) <= len(new) and _common(known, new) == len(known)
        ]:
            self._drop(key)
        self._entries[sharers, new.tobytes()] = (new, layers)
        self.num_bytes += size
        self.shrink_to(self.max_bytes)

    def shrink_to(self, max_bytes: int) -> None:
        """Drop what was not used for the longest time until no more than `max_bytes` are held."""
        while self.num_bytes > max_bytes and self._entries:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        self.shrink_to(-1)

    def _drop(self, key: tuple[Sharers, bytes]) -> None:
        self.num_bytes -= _num_bytes(self._entries.pop(key)[1])


def _common(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> int:
    size = min(len(left), len(right))
    different = np.nonzero(left[:size] != right[:size])[0]
    return int(different[0]) if len(different) else size


def _num_bytes(layers: "Layers") -> int:
    return sum(tensor.numel() * tensor.element_size() for layer in layers for tensor in layer)
