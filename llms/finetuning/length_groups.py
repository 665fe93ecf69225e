"""In which order examples are learnt: batches of like lengths, shuffled by seed and epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from typing_extensions import override

__all__ = ["LengthGroupedSampler"]

_GROUP_BATCHES = 50  # batches within which examples are sorted by length: order stays random above that


class LengthGroupedSampler(Sampler[int]):
    """Places of examples: batches of like lengths, in an order that seed and epoch decide, the longest first."""

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    @override
    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = generator.permutation(len(self.lengths))
        size = self.batch_size * _GROUP_BATCHES
        batches: list[Any] = []
        for start in range(0, len(shuffled), size):
            group = shuffled[start : start + size]
            ordered = group[np.argsort(-self.lengths[group], kind="stable")]
            batches += [ordered[at : at + self.batch_size] for at in range(0, len(ordered), self.batch_size)]
        # a smaller batch anywhere but at the end would shift the borders of all after it
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        for place in generator.permutation(len(full)):
            yield from full[place].tolist()
        for batch in rest:
            yield from batch.tolist()
