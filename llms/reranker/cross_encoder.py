"""Cross-encoders on torch, loaded once and shared: pairs of texts in, one raw output each."""

import functools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llms.arrays import FloatArray, IntArray
from llms.call_gathering import CallGatherer
from llms.device import Precision, autocast_for
from llms.encoder.token_batches import pad_rows, plan_batches
from llms.encoder.tokenizer import longest_input
from llms.encoder.trained_folders import resolve_base
from llms.errors import ModelFolderError
from llms.loading import FROM_FOLDER, folder_stamp, loading_from
from llms.manifest import ADAPTER_FOLDER, RerankerManifest

if TYPE_CHECKING:
    pass


HEAD_WEIGHTS_NAME = "reranker.safetensors"  # of a folder that needs its base: what was trained above the body
_MAX_TOKENS = 4096  # in a forward pass, padding included
_OPENING = threading.Lock()  # two threads that ask at once must not both load a model


class CrossEncoder:
    """Pairs of texts in, one raw output each; calls from several threads share forward passes."""

    def __init__(self, model: Any, tokenizer: Any, *, device: str, precision: Precision, max_tokens: int = 0) -> None:
        self.model = model.to(device)
        self.device = device
        self.precision = precision
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._pad_type_id = int(tokenizer.pad_token_type_id)
        self._pads_left = tokenizer.padding_side == "left"
        self._takes_types = takes_types(model, tokenizer)
        limit = longest_input(tokenizer, model.config)
        self._tokenizer = pair_tokenizer(tokenizer, min(limit, max_tokens or limit))
        self._gatherer: CallGatherer[tuple[IntArray, IntArray], float] = CallGatherer(self._answer)

    def logits(self, query: str, texts: Sequence[str], *, batch_size: int) -> FloatArray:
        """Return one raw output per text, in their order: (len(texts),) float32."""
        rows = [
            (np.asarray(row.ids, dtype=np.int64), np.asarray(row.type_ids, dtype=np.int64))
            for row in self._tokenizer.encode_batch_fast([(query, text) for text in texts])
        ]
        logits = np.zeros(len(rows), dtype=np.float32)
        for indices in plan_batches([len(ids) for ids, _ in rows], max_texts=batch_size, max_tokens=_MAX_TOKENS):
            logits[indices] = self._gatherer.call([rows[index] for index in indices])
        return logits

    def _answer(self, rows: Sequence[tuple[IntArray, IntArray]]) -> list[float]:
        logits = np.zeros(len(rows), dtype=np.float32)
        for indices in plan_batches([len(ids) for ids, _ in rows], max_texts=len(rows), max_tokens=_MAX_TOKENS):
            logits[indices] = self._forward([rows[index] for index in indices])
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


def open_cross_encoder(
    folder: Path, manifest: RerankerManifest | None, *, device: str, precision: Precision
) -> CrossEncoder:
    """Return the cross-encoder in `folder`; the same files are loaded once and then shared.

    Args:
        manifest: of a trained folder; one that holds only what was added shares the weights of its base.

    Raises:
        ModelFolderError: if the folder or its base cannot be loaded as a cross-encoder with one output.
    """
    with _OPENING:
        if manifest is None or not manifest.adapter:
            return _open_once(folder, folder_stamp(folder), device, precision)
        base = resolve_base(folder, manifest)
        stamps = (folder_stamp(base), folder_stamp(folder))
        return _open_adapted(base, folder, stamps, manifest.max_tokens, device, precision)


@functools.lru_cache(maxsize=4)
def _open_once(folder: Path, _stamp: object, device: str, precision: Precision) -> CrossEncoder:
    model, tokenizer = _load(folder)
    return CrossEncoder(model, tokenizer, device=device, precision=precision)


@functools.lru_cache(maxsize=64)
def _open_adapted(
    base: Path, folder: Path, stamps: tuple[object, object], max_tokens: int, device: str, precision: Precision
) -> CrossEncoder:
    from llms.encoder.adapters import attach_adapter, body_of, share_weights, with_body

    shared, tokenizer = _open_base_once(base, stamps[0], device)
    twin = share_weights(shared)
    _load_head(twin, folder)
    if (folder / ADAPTER_FOLDER).is_dir():  # else only the head was trained
        with_body(twin, attach_adapter(body_of(twin), folder / ADAPTER_FOLDER))
    return CrossEncoder(twin.eval(), tokenizer, device=device, precision=precision, max_tokens=max_tokens)


@functools.lru_cache(maxsize=4)
def _open_base_once(base: Path, _stamp: object, device: str) -> tuple[Any, Any]:
    import torch

    with torch.random.fork_rng():  # a base without a head of one output gets a random one, which is replaced
        model, tokenizer = open_base(base)
    return model.to(device).eval(), tokenizer


def open_base(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer of an encoder or cross-encoder; a head of one output is made where there is none.

    Raises:
        ModelFolderError: if the folder holds a model of another kind, or cannot be loaded.
    """
    _refuse_writers(folder, _read_json(folder / "config.json"))
    model, tokenizer, _ = _read(folder, num_labels=1, ignore_mismatched_sizes=True)
    return model, tokenizer


def head_parameters(model: Any) -> dict[str, Any]:
    """Return the weights above the body by their names in the plain model, the body's pooler among them.

    A pooler is trained with every method: a sentence encoder comes without one, or with one it never used.
    """
    from llms.encoder.adapters import body_of

    body, prefix = body_of(model), model.base_model_prefix
    plain = body.get_base_model() if hasattr(body, "get_base_model") else body
    head = {name: weight for name, weight in model.named_parameters() if not name.startswith(f"{prefix}.")}
    pooler = {f"{prefix}.{name}": weight for name, weight in plain.named_parameters() if name.split(".")[0] == "pooler"}
    return head | pooler


def _load_head(model: Any, folder: Path) -> None:
    """Give `model` the head in `folder`; weights it shares with others stay as they are."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    try:
        tensors = load_file(folder / HEAD_WEIGHTS_NAME)
        old = head_parameters(model)
        if {name: tensor.shape for name, tensor in tensors.items()} != {name: old[name].shape for name in old}:
            msg = f"the head in {folder} has other weights than its base needs; train the model again"
            raise ModelFolderError(msg)
    except (OSError, SafetensorError) as error:
        msg = f"the head in {folder} cannot be read: {error}; copy the whole folder again"
        raise ModelFolderError(msg) from error
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        weight = nn.Parameter(tensor.to(old[name].device), requires_grad=False)
        setattr(model.get_submodule(module), leaf, weight)


def _refuse_writers(folder: Path, config: Mapping[str, Any]) -> None:
    kinds = config.get("architectures") or []
    if wrong := next((kind for kind in kinds if str(kind).endswith(("ForCausalLM", "ForConditionalGeneration"))), None):
        msg = (
            f"{folder} is a {wrong}, which writes texts, such as yes or no of rerankers made from chat models; a "
            "reranker here is an encoder or a cross-encoder with one output"
        )
        raise ModelFolderError(msg)


def refuse_other_layouts(folder: Path) -> None:
    """Refuse what is known from the configuration alone, before anything is loaded.

    Raises:
        ModelFolderError: if the folder is no cross-encoder with one output and without prompts.
    """
    config = _read_json(folder / "config.json")
    _refuse_writers(folder, config)
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
    model, tokenizer, missing = _read(folder)
    if missing:
        msg = f"{folder} lacks the weights of a cross-encoder ({missing[0]}, ...), they would be random; fine-tune it"
        raise ModelFolderError(msg)
    if model.config.num_labels != 1:
        msg = f"{folder} has {model.config.num_labels} outputs, a reranker needs a cross-encoder with one"
        raise ModelFolderError(msg)
    return model.eval(), tokenizer


def _read(folder: Path, **settings: Any) -> tuple[Any, Any, list[str]]:
    """Return model, tokenizer and the names of the weights that the folder lacks."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with loading_from(folder, "a cross-encoder"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **FROM_FOLDER, **settings
        )
    if not tokenizer.is_fast:
        msg = f"{folder} has a tokenizer without tokenizer.json, which a reranker cannot share between threads"
        raise ModelFolderError(msg)
    return model, tokenizer, sorted(info["missing_keys"])


def takes_types(model: Any, tokenizer: Any) -> bool:
    """Return whether the network is told which of the two texts a token belongs to; with a prefix it cannot be."""
    from llms.encoder.adapters import body_of

    has_prefix = getattr(getattr(body_of(model), "active_peft_config", None), "is_prompt_learning", False)
    return "token_type_ids" in tokenizer.model_input_names and not has_prefix


def pair_tokenizer(source: Any, max_tokens: int) -> Any:
    """Return a tokenizer of pairs that threads may share, which cuts the longer text first and pads nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(source.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, strategy="longest_first", direction=source.truncation_side)
    tokenizer.encode_special_tokens = True  # a control token in a text is text; the tokenizer still puts in its own
    return tokenizer
