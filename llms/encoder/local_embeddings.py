"""`LocalEmbeddings`: texts to vectors with a local sentence encoder, as a LangChain embeddings object."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.stores import BaseStore
from typing_extensions import override

from llms.arrays import FloatArray
from llms.encoder.backend import (
    EmbeddingEngine,
    EmbeddingPrecision,
    EncoderChoice,
    check_encoder_options,
    choose_encoder,
    refuse_adapter,
)
from llms.encoder.cosine_floor import is_probed_in_chinese, measure_cosine_floor
from llms.encoder.text_encoder import TextEncoder
from llms.encoder.trained_folders import adapter_choice, check_vectors, open_trained_encoder, resolve_encoder
from llms.encoder.vector_cache import RecentVectors, VectorCache
from llms.errors import OptionValueError
from llms.loading import DEFAULT_ENCODER, folder_fingerprint
from llms.texts.checks import check_text

_RECENT_QUESTIONS = 64


class LocalEmbeddings(Embeddings):
    """Unit vectors from a local sentence encoder; the dot product of two of them is their cosine.

    The model is loaded at the first text, not at construction, and shared with every other object that uses
    the same folder. Texts reach the model unchanged, behind the prompt that the model names for their role.

    Threads that call at the same time share forward passes: whoever gets the model next takes along what all the
    others wait for. A refused text fails its own caller only.

    Args:
        model: folder, hub id, or `all-MiniLM-L6-v2` (the default, installed with this library). Folders that
            `finetune_embeddings` wrote are asked at the first text what they said when they were saved; an adapter
            shares the weights of its base with everything else that uses it, and runs on torch only.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        precision: "auto" uses bfloat16 products where the hardware has them; "int8" is OpenVINO's alone, several
            times as fast as float32, and refused where its vectors come out too far from those of float32.
        engine: "auto" takes OpenVINO on a CPU where the model was exported to it before, else torch; "openvino"
            exports the model at the first text, into `openvino/` beside it, and checks its vectors against torch's.
        batch_size: texts per forward pass of one call at most; long texts make smaller batches by themselves.
        show_progress: a progress bar over the batches of `embed_documents`.
        cache: where vectors are kept by the content of their texts: `SqliteByteStore`, or any other LangChain store
            of bytes. A damaged entry counts as missing.
        dimensions: keep so many of each vector's first dimensions, as models trained for it (Matryoshka) allow; None
            keeps all. Others lose quality.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder changed since training (at construction), or its vectors are others than
            those of the training (at the first text).
        OptionValueError: at construction, if engine, precision and device do not go together.
        UnsupportedOptionError: at construction, if OpenVINO is asked for and the folder holds an adapter.
        EngineError: at the first text, if `engine="openvino"` cannot run this model; the message says why.

    Example:
        >>> LocalEmbeddings().model_name
        'sentence-transformers/all-MiniLM-L6-v2'
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_ENCODER,
        *,
        device: str = "auto",
        precision: EmbeddingPrecision = "auto",
        engine: EmbeddingEngine = "auto",
        batch_size: int = 256,
        show_progress: bool = False,
        cache: BaseStore[str, bytes] | None = None,
        dimensions: int | None = None,
        allow_download: bool = False,
    ) -> None:
        check_encoder_options(engine=engine, precision=precision, device=device)
        if batch_size < 1:
            msg = f"batch_size must be at least 1, got {batch_size}"
            raise OptionValueError(msg)
        if dimensions is not None and dimensions < 1:
            msg = f"dimensions must be at least 1, got {dimensions}"
            raise OptionValueError(msg)
        if cache is not None and not isinstance(cache, BaseStore):
            msg = f"cache must be a LangChain BaseStore of bytes, got {type(cache).__name__}; try SqliteByteStore"
            raise OptionValueError(msg)
        self.model_name = str(model)
        self.folder, self.manifest = resolve_encoder(model, allow_download=allow_download)
        self._is_adapter = self.manifest is not None and self.manifest.adapter
        if self._is_adapter:
            refuse_adapter(self.folder, engine=engine, precision=precision)
        self.device = device
        self.precision = precision
        self.engine = engine
        self.batch_size = batch_size
        self.show_progress = show_progress
        self.cache = cache
        self.dimensions = dimensions
        self._questions = RecentVectors(max_texts=_RECENT_QUESTIONS)
        self._cosine_floors: dict[bool, float] = {}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever the model does.

        Engine and precision are no part of it: an index built in float32 may be searched with int8.
        """
        return folder_fingerprint(self.folder)

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        return self._encoder.dimension if self.dimensions is None else self.dimensions

    def cosine_floor(self, text: str) -> float:
        """Return the cosine that this encoder gives to texts with nothing in common, in the script of `text`.

        It is measured once, on built-in texts; see `llms.encoder.cosine_floor`. For many encoders it is 0 for the
        languages they read; for multilingual-e5-small it is about 0.7.
        """
        return self._cosine_floor(is_probed_in_chinese(text))

    def _cosine_floor(self, chinese: bool) -> float:  # noqa: FBT001  # the key of a memory, for this class alone
        if chinese not in self._cosine_floors:
            # past the cache: what lies there are texts of documents
            self._cosine_floors[chinese] = measure_cosine_floor(
                lambda texts, role: self._encoder.encode(texts, role=role), chinese=chinese
            )
        return self._cosine_floors[chinese]

    @property
    def engine_reason(self) -> str:
        """Which engine makes the vectors, in which precision, and why; nothing is loaded for it."""
        return f"{self._choice.engine}, {self._choice.precision}: {self._choice.reason}"

    def embed_array(self, texts: Sequence[str], *, role: Literal["document", "query"] = "document") -> FloatArray:
        """Return unit vectors for `texts` as one array, in their order; a text that comes twice is embedded once.

        Args:
            role: which of the model's prompts stands before each text, where it names one.

        Returns:
            (len(texts), dimension) float32.

        Raises:
            InputTextError: if one is no text, too long, or holds what no tokenizer takes; then none is embedded.
            OptionValueError: if there is no such role, or the model has fewer dimensions than are wanted.
            EngineError: if the engine cannot run this model.
        """
        if role not in ("document", "query"):
            msg = f"role must be document or query, got {role!r}"
            raise OptionValueError(msg)
        indices: dict[str, int] = {}
        rows = [indices.setdefault(check_text(text), len(indices)) for text in texts]
        unique = list(indices)
        if role == "query" and len(unique) == 1:
            # the steps of a chain ask for the vector of the same question one after the other
            vectors = self._questions.embed(unique, lambda missing: self._embed(missing, role))
        else:
            vectors = self._embed(unique, role)
        return self._cut(vectors if len(rows) == len(unique) else vectors[rows])

    def _cut(self, vectors: FloatArray) -> FloatArray:
        """Return the wanted dimensions as unit vectors again."""
        if self.dimensions is None or not len(vectors):
            return vectors
        if self.dimensions > vectors.shape[1]:
            msg = f"{self.model_name} gives {vectors.shape[1]} dimensions, got dimensions={self.dimensions}"
            raise OptionValueError(msg)
        first = vectors[:, : self.dimensions]
        norms = np.linalg.norm(first, axis=1, keepdims=True)
        unit: FloatArray = first / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return _as_lists(self.embed_array(texts, role="document"))

    @override
    def embed_query(self, text: str) -> list[float]:
        return _as_lists(self.embed_array([text], role="query"))[0]

    def _embed(self, texts: list[str], role: Literal["document", "query"]) -> FloatArray:
        if self.cache is None or not texts:
            return self._encode(texts, role)
        name = f"{self.fingerprint}/{self._choice.engine}-{self._choice.precision}/{role}"
        return VectorCache(self.cache, name=name).embed(texts, lambda missing: self._encode(missing, role))

    def _encode(self, texts: list[str], role: Literal["document", "query"]) -> FloatArray:
        show = self.show_progress and role == "document"
        return self._encoder.encode(texts, role=role, batch_size=self.batch_size, show_progress=show)

    @functools.cached_property
    def _choice(self) -> EncoderChoice:
        if self._is_adapter:
            return adapter_choice(self.folder, precision=self.precision, device=self.device)
        return choose_encoder(self.folder, engine=self.engine, precision=self.precision, device=self.device)

    @functools.cached_property
    def _encoder(self) -> TextEncoder:
        if self.manifest is None:
            return self._choice.open()
        choice = self._choice
        encoder = open_trained_encoder(
            self.folder, self.manifest, engine=choice.engine, device=choice.device, precision=choice.precision
        )
        check_vectors(encoder, self.manifest, self.folder, precision=choice.precision)
        return encoder


def _as_lists(vectors: FloatArray) -> list[list[float]]:
    lists: list[list[float]] = np.asarray(vectors).tolist()
    return lists
