"""Texts to vectors with a local sentence encoder, as a LangChain embeddings object."""

import functools
from pathlib import Path

from langchain_core.embeddings import Embeddings
from typing_extensions import override

from llms.device import Precision, choose_device
from llms.encoder import FloatArray, SentenceEncoder, load_encoder
from llms.loading import DEFAULT_ENCODER, folder_fingerprint, resolve_model
from llms.texts import check_text

__all__ = ["LocalEmbeddings"]


class LocalEmbeddings(Embeddings):
    """Unit vectors from a local sentence encoder; the dot product of two of them is their cosine.

    The model is loaded at the first text, not at construction, and shared with every other object that uses
    the same folder. Texts reach the model unchanged.

    Args:
        model: folder, hub id, or `all-MiniLM-L6-v2` (the default, installed with this library).
        device: "auto", "cpu", "cuda", "cuda:1", ...
        precision: "auto" uses bfloat16 products where the hardware has them.
        batch_size: texts per forward pass.
        show_progress: a progress bar over the batches of `embed_documents`.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.

    Example:
        >>> LocalEmbeddings().model_name
        'sentence-transformers/all-MiniLM-L6-v2'
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_ENCODER,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        batch_size: int = 64,
        show_progress: bool = False,
        allow_download: bool = False,
    ) -> None:
        self.model_name = str(model)
        self.folder = resolve_model(model, allow_download=allow_download)
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.show_progress = show_progress

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever the vectors of this model would."""
        return folder_fingerprint(self.folder)

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        return self._encoder.dimension

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors = self._encoder.encode(
            [check_text(text) for text in texts],
            role="document",
            batch_size=self.batch_size,
            show_progress=self.show_progress,
        )
        return _as_lists(vectors)

    @override
    def embed_query(self, text: str) -> list[float]:
        return _as_lists(self._encoder.encode([check_text(text)], role="query"))[0]

    @functools.cached_property
    def _encoder(self) -> SentenceEncoder:
        return load_encoder(self.folder, device=choose_device(self.device), precision=self.precision)


def _as_lists(vectors: FloatArray) -> list[list[float]]:
    lists: list[list[float]] = vectors.tolist()
    return lists
