"""Interface of sentence encoders on any back end: texts in, unit vectors out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llms.arrays import FloatArray, IntArray
from llms.call_gathering import CallGatherer
from llms.encoder.token_batches import plan_batches

Role = Literal["query", "document", "plain"]


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text that is ready for the model."""

    text: str
    role: Role
    ids: IntArray | None  # None where the model's own library makes them
    num_tokens: int


class TextEncoder(ABC):
    """Texts in, unit vectors out, through one model on one device.

    Calls from several threads are gathered: whoever gets the model next takes along what all the others wait for.
    A caller with many texts hands them over batch by batch, so that nobody waits for all of them.
    """

    name: str
    max_tokens = 2048  # in a forward pass, padding included; more is no faster on a CPU and takes memory
    max_gathered: int | None = None  # texts of several callers that are answered together; see `CallGatherer`

    def __init__(self) -> None:
        self._gatherer: CallGatherer[PreparedText, FloatArray] = CallGatherer(self._answer, max_items=self.max_gathered)

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of every vector."""

    @abstractmethod
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        """Return the texts with their tokens; any thread may call this at any time."""

    @abstractmethod
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        """Return the vectors of one batch, not yet of length 1; one thread at a time calls this."""

    def encode(
        self,
        texts: Sequence[str],
        *,
        role: Role = "plain",
        batch_size: int = 64,
        show_progress: bool = False,
    ) -> FloatArray:
        """Return unit vectors for `texts`, in their order.

        Texts are grouped by their number of tokens inside, so that short ones are not padded to long ones.

        Args:
            role: "query" and "document" put the prompt before the text that the model was trained with,
                where it names one.
            batch_size: texts per forward pass at most; long texts make smaller batches.

        Returns:
            (len(texts), dimension) float32, each row of length 1; (0, dimension) for no texts.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        prepared = self.prepare(texts, role)
        lengths = [text.num_tokens for text in prepared]
        batches = plan_batches(lengths, max_texts=batch_size, max_tokens=self.max_tokens)
        for indices in _with_progress(batches, is_shown=show_progress):
            vectors[indices] = self._gatherer.call([prepared[index] for index in indices])
        return vectors

    def _answer(self, prepared: Sequence[PreparedText]) -> list[FloatArray]:
        lengths = [text.num_tokens for text in prepared]
        batches = plan_batches(lengths, max_texts=len(prepared), max_tokens=self.max_tokens)
        vectors = np.zeros((len(prepared), self.dimension), dtype=np.float32)
        for indices in batches:
            vectors[indices] = self._forward([prepared[index] for index in indices])
        # here and not in the network: half precision would leave lengths of 0.998
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return list(vectors / np.maximum(norms, 1e-12))


def _with_progress(batches: list[list[int]], *, is_shown: bool) -> Sequence[list[int]]:
    if not is_shown:
        return batches
    from tqdm import tqdm

    bar: Sequence[list[int]] = tqdm(batches, desc="Batches")
    return bar
