"""One loaded sentence encoder, shared by embeddings and classifiers."""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from llms.device import Precision, autocast_for
from llms.errors import ModelFolderError
from llms.loading import folder_stamp

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["SentenceEncoder", "load_encoder", "open_sentence_transformer"]

FloatArray = npt.NDArray[np.float32]
_QUIET_LOCK = threading.RLock()  # levels are global: two threads would save and restore each other's


class SentenceEncoder:
    """Texts in, unit vectors out, through one model on one device.

    Calls from several threads wait for each other: a model's forward pass already uses every core.
    """

    def __init__(self, model: "SentenceTransformer", *, device: str, precision: Precision = "auto") -> None:
        self.model = model
        self.device = device
        self.precision = precision
        self._lock = threading.Lock()

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        size = self.model.get_embedding_dimension()
        if size is None:
            msg = "the encoder does not tell the size of its vectors; use a sentence-transformers model"
            raise ModelFolderError(msg)
        return size

    def encode(
        self,
        texts: Sequence[str],
        *,
        role: Literal["query", "document", "plain"] = "plain",
        batch_size: int = 64,
        show_progress: bool = False,
    ) -> FloatArray:
        """Return unit vectors for `texts`, in their order.

        Texts are grouped by length inside, so that short ones are not padded to long ones.

        Args:
            role: "query" and "document" put the prompt before the text that the model was trained with,
                where it names one.

        Returns:
            (len(texts), dimension) float32, each row of length 1; (0, dimension) for no texts.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        methods: dict[str, Callable[..., Any]] = {
            "query": self.model.encode_query,
            "document": self.model.encode_document,
            "plain": self.model.encode,
        }
        with self._lock, autocast_for(self.device, self.precision):
            vectors = methods[role](
                list(texts), batch_size=batch_size, show_progress_bar=show_progress, normalize_embeddings=True
            )
        unit: FloatArray = np.asarray(vectors, dtype=np.float32)
        return unit


def load_encoder(folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> SentenceEncoder:
    """Return the encoder in `folder`; the same files are loaded once and then shared."""
    return _load_encoder(folder, folder_stamp(folder), device, precision)


@functools.lru_cache(maxsize=8)
def _load_encoder(folder: Path, _stamp: object, device: str, precision: Precision) -> SentenceEncoder:
    return SentenceEncoder(open_sentence_transformer(folder, device=device), device=device, precision=precision)


def open_sentence_transformer(folder: Path, *, device: str) -> "SentenceTransformer":
    """Return the model in `folder` without touching the network and without running code from it.

    Raises:
        ModelFolderError: if the folder's files do not fit together.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        with quiet_loading():
            return SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"{folder} cannot be loaded as a sentence encoder: {error}"
        raise ModelFolderError(msg) from error


@contextlib.contextmanager
def quiet_loading(*more_loggers: str) -> Iterator[None]:
    """Keep progress bars and hints of the model libraries off the screen while a model is loaded or saved."""
    from transformers.utils import logging as transformers_logging

    with _QUIET_LOCK:
        loggers: list[Any] = [
            logging.getLogger(name) for name in ("transformers", "sentence_transformers", *more_loggers)
        ]
        levels = [logger.level for logger in loggers]
        had_progress_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
