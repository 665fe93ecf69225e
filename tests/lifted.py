"""Embeddings that say the same as others with cosines that begin higher, as multilingual-e5's do."""

import numpy as np
from langchain_core.embeddings import Embeddings

from llms.encoder.cosine_floor import is_probed_in_chinese, measure_cosine_floor
from llms.fakes import HashedEmbeddings

__all__ = ["LiftedEmbeddings"]


class LiftedEmbeddings(Embeddings):
    """A cosine of c becomes lift + (1 - lift) * c: every vector gets one more number, the same for all."""

    def __init__(self, inner=None, *, lift=0.75):
        self.inner = inner or HashedEmbeddings(dimension=256)
        self.lift = lift
        self.fingerprint = f"lifted-{lift}"

    def embed_documents(self, texts):
        return [self._lift(vector) for vector in self.inner.embed_documents(texts)]

    def embed_query(self, text):
        return self._lift(self.inner.embed_query(text))

    def cosine_floor(self, text):
        def embed(texts, _role):
            return np.array(self.embed_documents(list(texts)), dtype=np.float32)

        return measure_cosine_floor(embed, chinese=is_probed_in_chinese(text))

    def _lift(self, vector):
        return [*(np.sqrt(1 - self.lift) * np.array(vector)).tolist(), float(np.sqrt(self.lift))]
