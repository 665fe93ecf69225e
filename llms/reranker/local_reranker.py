"""`LocalReranker`: documents in a better order, by a local cross-encoder, as a LangChain document compressor."""

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PrivateAttr, ValidationError
from scipy.special import expit
from typing_extensions import override

from llms.arrays import FloatArray
from llms.device import Precision, choose_device
from llms.encoder.trained_folders import resolve_trained
from llms.errors import OptionValueError, TuneChainError, UnknownOptionError
from llms.field_errors import describe_field
from llms.loading import resolve_model
from llms.manifest import RerankerManifest, find_manifest_of, is_near, refuse_other_outputs
from llms.reranker.cross_encoder import CrossEncoder, open_cross_encoder, refuse_other_layouts
from llms.texts.checks import check_text

_TOLERANCE = 0.1  # how far a score may move between machine and precision of the training and of the use


class LocalReranker(BaseDocumentCompressor):
    """Puts the documents that answer a query best first, with a cross-encoder on this machine.

    Each document comes back as a copy with `rerank_score` in its metadata: the sigmoid of the model's output, in
    [0, 1]. Of a model that `finetune_reranker` wrote it says how often a document with this score was an answer among
    the candidates it was trained with; of others it is no calibrated probability, and large raw outputs crowd it near
    0 and 1. The order is that of the raw outputs. Equal ones keep the order they came in.

    The model is loaded at the first call and shared with every reranker of the same folder. A text that looks like a
    control token of the model (`[SEP]`, `</s>`) is read as plain text, so no document can end early or begin anew.

    Attributes:
        model: folder or hub id of a cross-encoder: sequence classification with one output, as sentence-transformers
            or transformers save it, or a folder that `finetune_reranker` wrote.
        top_n: how many documents come back at most; None is all of them.
        device: "auto" is the GPU if there is one.
        precision: "auto" uses bfloat16 products where the hardware has them.
        batch_size: pairs per forward pass at most; long ones make smaller batches by themselves.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder is no cross-encoder with one output; at construction where its configuration
            says so, else at the first call; also if a trained folder has changed since.
        OptionValueError: at construction, if `top_n` or `batch_size` is not positive.
        InputTextError: at a call, if the query or a document holds what no tokenizer takes.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    top_n: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int = 64
    allow_download: bool = False

    _folder: Path = PrivateAttr()
    _manifest: RerankerManifest | None = PrivateAttr(default=None)

    def __init__(self, model: str | Path, **options: Any) -> None:
        try:
            super().__init__(**{"model": str(model), **options})
        except ValidationError as error:  # pydantic's own is no TuneChainError
            raise _as_option_error(error) from error

    @override
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        for name in ("top_n", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"{name} must be at least 1, got {value}"
                raise OptionValueError(msg)
        self._folder = resolve_trained(self.model, allow_download=self.allow_download)
        self._manifest = find_manifest_of(self._folder, RerankerManifest)
        if self._manifest is None:
            self._folder = resolve_model(self.model, allow_download=self.allow_download)
            refuse_other_layouts(self._folder)

    def score(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Return how well each text answers the query, in the order of the texts.

        Returns:
            (len(texts),) float32 in [0, 1]: the sigmoid of the model's output, scaled where training fitted a scale.

        Raises:
            InputTextError: if the query or a text holds what no tokenizer takes.
        """
        return self._scores(self._logits(query, texts))

    async def ascore(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Return what `score` returns, without holding up the event loop."""
        return await asyncio.to_thread(self.score, query, texts)

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        logits = self._logits(query, [document.page_content for document in documents])
        order = np.argsort(-logits, kind="stable")[: self.top_n]
        scores = self._scores(logits)
        return [_scored(documents[int(index)], float(scores[index])) for index in order]

    def _logits(self, query: str, texts: Sequence[str]) -> FloatArray:
        checked_query = check_text(query)
        # each different text once: equal rows of one product may differ in the last bit, which would break ties
        indices: dict[str, int] = {}
        rows = [indices.setdefault(check_text(text), len(indices)) for text in texts]
        if not rows:
            return np.zeros(0, dtype=np.float32)
        logits = self._cross_encoder.logits(checked_query, list(indices), batch_size=self.batch_size)
        return logits[rows]

    def _scores(self, logits: FloatArray) -> FloatArray:
        scale, shift = (self._manifest.scale, self._manifest.shift) if self._manifest else (1.0, 0.0)
        scores: FloatArray = expit(scale * logits.astype(np.float64) + shift).astype(np.float32)
        return scores

    @functools.cached_property
    def _cross_encoder(self) -> CrossEncoder:
        device = choose_device(self.device)
        encoder = open_cross_encoder(self._folder, self._manifest, device=device, precision=self.precision)
        for output in self._manifest.reference_outputs if self._manifest else ():
            found = float(self._scores(encoder.logits(output.query, [output.document], batch_size=1))[0])
            if not is_near(found, output.score, tolerance=_TOLERANCE):
                reference = f"it scored {output.score:.3f} for {output.query[:60]!r}"
                refuse_other_outputs(self._folder, reference, f"{found:.3f}")
        return encoder


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "rerank_score": score}})


def _as_option_error(error: ValidationError) -> TuneChainError:
    first = error.errors(include_url=False)[0]
    if isinstance(own := first.get("ctx", {}).get("error"), TuneChainError):
        return own
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(LocalReranker.model_fields)
        return UnknownOptionError(f"LocalReranker has no option {name!r}; it takes {known}")
    return OptionValueError(describe_field(first, show_value=True))
