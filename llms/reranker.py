"""Documents in a better order, by a local cross-encoder that reads query and document together."""

import asyncio
import functools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PrivateAttr, ValidationError
from typing_extensions import override

from llms.call_gathering import CallGatherer
from llms.device import Precision, autocast_for, choose_device
from llms.encoder import quiet_loading
from llms.errors import ModelFolderError, OptionValueError, TuneChainError, UnknownOptionError
from llms.loading import folder_stamp, resolve_model
from llms.text_encoder import FloatArray
from llms.texts import check_text
from llms.token_batches import IntArray, pad_rows, plan_batches

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = ["LocalReranker"]

_MAX_TOKENS = 4096  # in a forward pass, padding included
_OPENING = threading.Lock()  # two threads that ask at once must not both load a model


class LocalReranker(BaseDocumentCompressor):
    """Puts the documents that answer a query best first, with a cross-encoder on this machine.

    Each document comes back as a copy with `rerank_score` in its metadata: the sigmoid of the model's output, in
    [0, 1]. It orders the documents of one query; it is no calibrated probability, and models whose raw outputs are
    large crowd it near 0 and 1, so the order is that of the raw outputs. Equal ones keep the order they came in.

    The model is loaded at the first call and shared with every reranker of the same folder. A text that looks like a
    control token of the model (`[SEP]`, `</s>`) is read as plain text, so no document can end early or begin anew.

    Attributes:
        model: folder or hub id of a cross-encoder: sequence classification with one output, as sentence-transformers
            or transformers save it.
        top_n: how many documents come back at most; None is all of them.
        device: "auto" is the GPU if there is one.
        precision: "auto" uses bfloat16 products where the hardware has them.
        batch_size: pairs per forward pass at most; long ones make smaller batches by themselves.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder is no cross-encoder with one output; at construction where its configuration
            says so, else at the first call.
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
        self._folder = resolve_model(self.model, allow_download=self.allow_download)
        _refuse_other_layouts(self._folder)

    def score(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Return how well each text answers the query, in the order of the texts.

        Returns:
            (len(texts),) float32 in [0, 1]: the sigmoid of the model's output.

        Raises:
            InputTextError: if the query or a text holds what no tokenizer takes.
        """
        return _sigmoid(self._logits(query, texts))

    async def ascore(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Return what `score` returns, without holding up the event loop."""
        return await asyncio.to_thread(self.score, query, texts)

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        logits = self._logits(query, [document.page_content for document in documents])
        order = np.argsort(-logits, kind="stable")[: self.top_n]
        scores = _sigmoid(logits)
        return [_scored(documents[int(place)], float(scores[place])) for place in order]

    def _logits(self, query: str, texts: Sequence[str]) -> FloatArray:
        checked_query = check_text(query)
        # each different text once: equal rows of one product may differ in the last bit, which would break ties
        places: dict[str, int] = {}
        rows = [places.setdefault(check_text(text), len(places)) for text in texts]
        if not rows:
            return np.zeros(0, dtype=np.float32)
        logits = self._cross_encoder.logits(checked_query, list(places), batch_size=self.batch_size)
        return logits[rows]

    @functools.cached_property
    def _cross_encoder(self) -> "_CrossEncoder":
        return _open(self._folder, device=choose_device(self.device), precision=self.precision)


class _CrossEncoder:
    """Pairs of texts in, one raw output each; calls from several threads share forward passes."""

    def __init__(self, folder: Path, *, device: str, precision: Precision) -> None:
        self.model, tokenizer = _load(folder)
        self.model.to(device)
        self.device = device
        self.precision = precision
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._pad_type_id = int(tokenizer.pad_token_type_id)
        self._pads_left = tokenizer.padding_side == "left"
        self._takes_types = "token_type_ids" in tokenizer.model_input_names
        self._tokenizer = _pair_tokenizer(tokenizer, _max_tokens(tokenizer, self.model.config))
        self._gatherer: CallGatherer[tuple[IntArray, IntArray], float] = CallGatherer(self._answer)

    def logits(self, query: str, texts: Sequence[str], *, batch_size: int) -> FloatArray:
        """Return one raw output per text, in their order: (len(texts),) float32."""
        rows = [
            (np.asarray(row.ids, dtype=np.int64), np.asarray(row.type_ids, dtype=np.int64))
            for row in self._tokenizer.encode_batch_fast([(query, text) for text in texts])
        ]
        logits = np.zeros(len(rows), dtype=np.float32)
        for places in plan_batches([len(ids) for ids, _ in rows], max_texts=batch_size, max_tokens=_MAX_TOKENS):
            logits[places] = self._gatherer.call([rows[place] for place in places])
        return logits

    def _answer(self, rows: Sequence[tuple[IntArray, IntArray]]) -> list[float]:
        logits = np.zeros(len(rows), dtype=np.float32)
        for places in plan_batches([len(ids) for ids, _ in rows], max_texts=len(rows), max_tokens=_MAX_TOKENS):
            logits[places] = self._forward([rows[place] for place in places])
        return [float(logit) for logit in logits]

    def _forward(self, rows: Sequence[tuple[IntArray, IntArray]]) -> FloatArray:
        import torch

        ids, mask = pad_rows([ids for ids, _ in rows], pad_id=self._pad_id, pads_left=self._pads_left)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            types, _ = pad_rows([types for _, types in rows], pad_id=self._pad_type_id, pads_left=self._pads_left)
            inputs["token_type_ids"] = types
        with torch.inference_mode(), autocast_for(self.device, self.precision):
            tensors = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
            logits: FloatArray = self.model(**tensors).logits.float().cpu().numpy()  # (pairs, 1)
        return logits[:, 0]


def _open(folder: Path, *, device: str, precision: Precision) -> _CrossEncoder:
    with _OPENING:
        return _open_once(folder, folder_stamp(folder), device, precision)


@functools.lru_cache(maxsize=4)
def _open_once(folder: Path, _stamp: object, device: str, precision: Precision) -> _CrossEncoder:
    return _CrossEncoder(folder, device=device, precision=precision)


def _refuse_other_layouts(folder: Path) -> None:
    """Refuse what is known from the configuration alone, before anything is loaded."""
    config = _read_json(folder / "config.json")
    labels = config.get("id2label")
    outputs = len(labels) if isinstance(labels, dict) else config.get("num_labels", 1)
    if outputs != 1:
        msg = f"{folder} has {outputs} outputs, a reranker needs a cross-encoder with one; take another model"
        raise ModelFolderError(msg)
    modules = _read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    settings = _read_json(path) if (path := folder / "config_sentence_transformers.json").is_file() else {}
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    if kinds not in ([], ["Transformer"]) or settings.get("model_type", "CrossEncoder") != "CrossEncoder":
        kind = settings.get("model_type", " + ".join(kinds))
        msg = f"{folder} is no cross-encoder with a classification head, but {kind}; take a model of that kind"
        raise ModelFolderError(msg)
    if settings.get("default_prompt_name"):
        msg = f"{folder} puts a prompt ({settings['default_prompt_name']!r}) before its pairs, which is not supported"
        raise ModelFolderError(msg)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}); is the copy complete?"
        raise ModelFolderError(msg) from error


def _load(folder: Path) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"{folder} cannot be loaded as a cross-encoder: {error}"
        raise ModelFolderError(msg) from error
    if missing := sorted(info["missing_keys"]):
        msg = f"{folder} lacks the weights of a cross-encoder ({missing[0]}, ...), they would be random; fine-tune it"
        raise ModelFolderError(msg)
    if model.config.num_labels != 1:
        msg = f"{folder} has {model.config.num_labels} outputs, a reranker needs a cross-encoder with one"
        raise ModelFolderError(msg)
    if not tokenizer.is_fast:
        msg = f"{folder} has a tokenizer without tokenizer.json, which a reranker cannot share between threads"
        raise ModelFolderError(msg)
    return model.eval(), tokenizer


def _pair_tokenizer(source: Any, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(source.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, strategy="longest_first", direction=source.truncation_side)
    tokenizer.encode_special_tokens = True  # a control token in a text is text; the tokenizer still puts in its own
    return tokenizer


def _max_tokens(tokenizer: Any, config: "PretrainedConfig") -> int:
    """Return how long a pair may be; many tokenizers name no limit of their own."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    if "roberta" in config.model_type or config.model_type == "camembert":  # they count positions from pad_id + 1
        positions -= int(config.pad_token_id or 0) + 1
    return min(int(tokenizer.model_max_length), positions)


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "rerank_score": score}})


def _sigmoid(logits: FloatArray) -> FloatArray:
    # tanh takes any size without overflow
    scores: FloatArray = (0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
    return scores


def _as_option_error(error: ValidationError) -> TuneChainError:
    first = error.errors(include_url=False)[0]
    if isinstance(own := first.get("ctx", {}).get("error"), TuneChainError):
        return own
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(LocalReranker.model_fields)
        return UnknownOptionError(f"LocalReranker has no option {name!r}; it takes {known}")
    return OptionValueError(f"{name}: {first['msg']}, got {first['input']!r}")
