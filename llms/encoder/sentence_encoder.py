"""Sentence encoders on torch, loaded once and shared by embeddings and classifiers."""

import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from llms.arrays import FloatArray
from llms.device import Precision, autocast_for
from llms.encoder.text_encoder import PreparedText, Role, TextEncoder
from llms.encoder.tokenizer import EncoderTokenizer, take_tokenizer
from llms.errors import EngineError, ModelFolderError
from llms.loading import FROM_FOLDER, folder_stamp, loading_from

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_MAX_TOKENS_ON_GPU = 32_768  # in a forward pass; a CPU is busy with far fewer
_CHARS_PER_TOKEN = 3  # a guess, to sort by, where the model's own library makes the tokens

_DENSE = "SentenceTransformer"  # model_type of a dense encoder, also where none is named
_INSTEAD = "take a SentenceTransformer, or for a CrossEncoder LocalReranker"

_log = logging.getLogger(__name__)


class SentenceEncoder(TextEncoder):
    """Texts in, unit vectors out, with torch."""

    name = "torch"

    def __init__(self, model: "SentenceTransformer", *, device: str, precision: Precision = "auto") -> None:
        super().__init__()
        self.model = model
        self.device = device
        self.precision = precision
        if not device.startswith("cpu"):
            self.max_tokens = _MAX_TOKENS_ON_GPU
        self._tokenizer = _tokenizer_or_none(model)

    @property
    @override
    def dimension(self) -> int:
        size = self.model.get_embedding_dimension()
        if size is None:
            msg = "the encoder does not tell the size of its vectors; use a sentence-transformers model"
            raise ModelFolderError(msg)
        return size

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        if self._tokenizer is not None:
            return self._tokenizer.prepare(texts, role)
        return [PreparedText(text, role, None, 1 + len(text) // _CHARS_PER_TOKEN) for text in texts]

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        with autocast_for(self.device, self.precision):
            if self._tokenizer is None:
                return self._encode_by_library(batch)
            return self._encode(self._tokenizer, batch)

    def _encode(self, tokenizer: EncoderTokenizer, batch: Sequence[PreparedText]) -> FloatArray:
        import torch

        self.model.eval()  # it may just have been trained
        with torch.inference_mode():
            features = {name: torch.from_numpy(array) for name, array in tokenizer.inputs(batch).items()}
            output = self.model({name: tensor.to(self.device) for name, tensor in features.items()})
            vectors: FloatArray = output["sentence_embedding"].float().cpu().numpy()  # (texts, all dimensions)
        return vectors[:, : self.dimension]  # fewer where the model was saved with `truncate_dim`

    def _encode_by_library(self, batch: Sequence[PreparedText]) -> FloatArray:
        """Return the vectors from the library's own methods, for pipelines that are not just tokens and layers."""
        methods: dict[Role, Callable[..., Any]] = {
            "query": self.model.encode_query,
            "document": self.model.encode_document,
            "plain": self.model.encode,
        }
        vectors = np.zeros((len(batch), self.dimension), dtype=np.float32)
        for role, encode in methods.items():
            indices = [index for index, text in enumerate(batch) if text.role == role]
            if indices:
                texts = [batch[index].text for index in indices]
                vectors[indices] = encode(texts, batch_size=len(texts), show_progress_bar=False)
        return vectors


def _tokenizer_or_none(model: "SentenceTransformer") -> EncoderTokenizer | None:
    try:
        return take_tokenizer(model)
    except EngineError as reason:
        _log.debug("the encoder's own library makes the tokens: %s", reason)
        return None


def load_encoder(folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> SentenceEncoder:
    """Return the encoder in `folder`; the same files are loaded once and then shared."""
    return _load_encoder(folder, folder_stamp(folder), device, precision)


@functools.lru_cache(maxsize=8)
def _load_encoder(folder: Path, _stamp: object, device: str, precision: Precision) -> SentenceEncoder:
    return SentenceEncoder(open_sentence_transformer(folder, device=device), device=device, precision=precision)


def open_sentence_transformer(folder: Path, *, device: str) -> "SentenceTransformer":
    """Return the model in `folder` without touching the network and without running code from it.

    Raises:
        ModelFolderError: if the folder's files do not fit together, or give something else than a vector per text.
    """
    from sentence_transformers import SentenceTransformer

    _refuse_other_kinds(folder)
    with loading_from(folder, "a sentence encoder"):
        return SentenceTransformer(str(folder), device=device, model_kwargs={"use_safetensors": True}, **FROM_FOLDER)


def _refuse_other_kinds(folder: Path) -> None:
    """Refuse what the library would turn into a dense encoder without a word: its vectors would mean nothing."""
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return
    with loading_from(folder, "a sentence encoder"):
        kind = str(json.loads(path.read_text("utf-8")).get("model_type") or _DENSE)
    if kind != _DENSE:
        msg = f"{folder} holds a {kind}, not an encoder that gives one dense vector per text; {_INSTEAD}"
        raise ModelFolderError(msg)
