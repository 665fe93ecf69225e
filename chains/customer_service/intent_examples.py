"""Examples of intents by meaning: how near a message is to the training texts, whatever the classifier says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.embeddings import Embeddings

from llms import above_floor, find_cosine_floor
from llms.arrays import BoolArray, FloatArray

_NUM_NEAREST = 5  # whose intents are compared with the classifier's
_NUM_OWN = 3  # of the likeliest intent


@dataclass(frozen=True, slots=True)
class ExampleCloseness:
    """How a message lies among the training texts of the intents.

    Attributes:
        nearest: closeness to the nearest of them; 0 is that of unrelated texts.
        own: mean closeness to the nearest three of the likeliest intent.
        agreement: share of the nearest five that are of that intent.
    """

    nearest: float = 0.0
    own: float = 0.0
    agreement: float = 0.0


class IntentExamples:
    """Training texts of intents and their vectors, by an encoder that has not learnt the intents.

    Args:
        texts: of customers.
        intents: of each text.
        embeddings: turns texts into unit vectors.
        vectors: what `vectors` of the same texts and embeddings was, so that nothing is embedded.
    """

    def __init__(
        self,
        texts: Sequence[str],
        intents: Sequence[str],
        *,
        embeddings: Embeddings,
        vectors: FloatArray | None = None,
    ) -> None:
        self._texts = np.array(texts, dtype=object)
        self._intents = np.array(intents, dtype=object)
        self._embeddings = embeddings
        if vectors is None:
            vectors = np.asarray(embeddings.embed_documents(list(texts)), dtype=np.float32)
        self.vectors = vectors  # (texts, dimension) float32

    def compare(self, message: str, intent: str, *, without_itself: bool = False) -> ExampleCloseness:
        """Return how near `message` is to the examples, and to those of `intent`.

        Args:
            message: of a customer.
            intent: the likeliest one.
            without_itself: leave examples out that are the very message, as when it is a training text.
        """
        is_compared = self._texts != message if without_itself else np.ones(len(self._texts), dtype=bool)
        if not is_compared.any():
            return ExampleCloseness()
        vector = np.asarray(self._embeddings.embed_query(message), dtype=np.float32)
        floor = find_cosine_floor(self._embeddings, message)
        closeness: FloatArray = above_floor(self.vectors[is_compared] @ vector, floor)
        is_own: BoolArray = self._intents[is_compared] == intent
        nearest = np.argsort(-closeness, kind="stable")[:_NUM_NEAREST]
        own = np.sort(closeness[is_own])[-_NUM_OWN:]
        return ExampleCloseness(
            nearest=float(closeness[nearest[0]]),
            own=float(own.mean()) if len(own) else 0.0,
            agreement=float(is_own[nearest].mean()),
        )
