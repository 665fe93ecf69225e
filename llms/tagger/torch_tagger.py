"""Taggers on torch: token classification models of transformers, whole or as an adapter."""

import functools
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from llms.arrays import FloatArray, IntArray
from llms.device import Precision, autocast_for
from llms.encoder.adapters import attach_adapter, body_of, share_weights, with_body
from llms.encoder.tokenizer import longest_input
from llms.encoder.trained_folders import resolve_base
from llms.errors import ModelFolderError
from llms.loading import FROM_FOLDER, folder_stamp, loading_from
from llms.manifest import ADAPTER_FOLDER, TaggerManifest, load_manifest_of
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import TokenTagger
from llms.tagger.tokenizer import NUM_SHAPES, TaggerTokenizer

HEAD_NAME = "head.safetensors"  # of a kept adapter: what lies above the body, and its table of shapes
SHAPES_KEY = "shapes"
_MAX_TOKENS_ON_GPU = 32_768


class TorchTagger(TokenTagger):
    """Texts in, outputs for each word out, with torch."""

    def __init__(
        self, model: Any, tokenizer: TaggerTokenizer, scheme: TagScheme, *, device: str, precision: Precision = "auto"
    ) -> None:
        super().__init__(tokenizer, scheme)
        self.model = model.eval().to(device)
        self.device = device
        self.precision = precision
        if not device.startswith("cpu"):
            self.max_tokens = _MAX_TOKENS_ON_GPU

    @override
    def _forward(self, rows: Sequence[tuple[IntArray, IntArray]]) -> FloatArray:
        inputs = {name: torch.from_numpy(array) for name, array in self.tokenizer.inputs(rows).items()}
        with torch.inference_mode(), autocast_for(self.device, self.precision):
            output = self.model(**{name: tensor.to(self.device) for name, tensor in inputs.items()})
        logits: FloatArray = output.logits.float().cpu().numpy()
        return logits


def load_torch_tagger(
    folder: Path, manifest: TaggerManifest | None, *, device: str, precision: Precision
) -> TorchTagger:
    """Return the tagger in `folder`; the same files are loaded once and then shared.

    Args:
        manifest: of a folder that `finetune_tagger` wrote; None for any other token classification model.

    Raises:
        ModelFolderError: if the folder, or the base it was trained on, is not what it should be.
    """
    return _load(folder, folder_stamp(folder), manifest is None, device, precision)


@functools.lru_cache(maxsize=32)
def _load(folder: Path, _stamp: object, is_foreign: bool, device: str, precision: Precision) -> TorchTagger:  # noqa: FBT001  # a key of the cache
    if is_foreign:
        return _load_whole(folder, None, device=device, precision=precision)
    manifest = load_manifest_of(folder, TaggerManifest)
    load = _load_adapted if manifest.adapter else _load_whole
    return load(folder, manifest, device=device, precision=precision)


def _load_whole(folder: Path, manifest: TaggerManifest | None, *, device: str, precision: Precision) -> TorchTagger:
    model, tokenizer = load_network(folder)
    names = model.config.id2label
    tags = [str(names[index]) for index in range(len(names))]
    scheme = TagScheme(tuple(tags)) if manifest else TagScheme.of_foreign(tags)
    taken = tagger_tokenizer(
        tokenizer,
        model,
        max_tokens=manifest.max_tokens if manifest else 0,
        reads_shapes=bool(manifest and manifest.reads_shapes),
    )
    return TorchTagger(model, taken, scheme, device=device, precision=precision)


def load_network(folder: Path, *, num_tags: int | None = None) -> tuple[Any, Any]:
    """Return network and tokenizer of a folder.

    Args:
        num_tags: tags of a new head with random weights; None for a folder that has a head.

    Raises:
        ModelFolderError: if it cannot be loaded, or lacks weights other than those of a new head.
    """
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    head = {} if num_tags is None else {"num_labels": num_tags, "ignore_mismatched_sizes": True}
    with loading_from(folder, "a tagger"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
        model, info = AutoModelForTokenClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **FROM_FOLDER, **head
        )
    body = f"{model.base_model_prefix}."
    missing = sorted(name for name in info["missing_keys"] if num_tags is None or name.startswith(body))
    if missing:
        msg = (
            f"{folder} lacks the weights of a tagger ({missing[0]}, ...), they would be random; "
            "fine-tune the model first with: tunechain finetune tagger"
        )
        raise ModelFolderError(msg)
    return model, tokenizer


def _load_adapted(folder: Path, manifest: TaggerManifest, *, device: str, precision: Precision) -> TorchTagger:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoModelForTokenClassification

    base = resolve_base(folder, manifest)
    shared, tokenizer = _load_base(base, folder_stamp(base), device)
    scheme = TagScheme.of_labels(manifest.labels)
    try:
        weights = load_file(folder / HEAD_NAME)
    except (OSError, SafetensorError) as error:
        msg = f"{folder / HEAD_NAME} cannot be read: {error}; copy the whole folder again"
        raise ModelFolderError(msg) from error
    body = share_weights(body_of(shared))
    if manifest.reads_shapes:
        widen_types(body, weights.pop(SHAPES_KEY))
    if (folder / ADAPTER_FOLDER).is_dir():
        body = attach_adapter(body, folder / ADAPTER_FOLDER)
    config = type(shared.config).from_dict(shared.config.to_dict() | {"num_labels": len(scheme.tags)})
    with torch.device("meta"):  # a body that is not used takes no memory
        model: Any = AutoModelForTokenClassification.from_config(config)  # type: ignore[no-untyped-call]
    expected = {name for name in model.state_dict() if not name.startswith(f"{model.base_model_prefix}.")}
    if expected != set(weights):
        msg = f"{folder / HEAD_NAME} holds {sorted(weights)}, {sorted(expected)} are needed; copy the folder again"
        raise ModelFolderError(msg)
    with_body(model, body)
    model.load_state_dict(weights, strict=False, assign=True)
    taken = tagger_tokenizer(
        tokenizer, shared, max_tokens=manifest.max_tokens, reads_shapes=manifest.reads_shapes, method=manifest.method
    )
    return TorchTagger(model, taken, scheme, device=device, precision=precision)


@functools.lru_cache(maxsize=4)
def _load_base(base: Path, _stamp: object, device: str) -> tuple[Any, Any]:
    model, tokenizer = load_network(base, num_tags=2)
    return model.eval().to(device), tokenizer


def tagger_tokenizer(
    source: Any, model: Any, *, max_tokens: int = 0, reads_shapes: bool = False, method: str = "full"
) -> TaggerTokenizer:
    """Return the tokenizer of a network.

    Args:
        max_tokens: what it reads at once; 0 or more than it can is as much as it can.
    """
    limit = longest_input(source, model.config)
    return TaggerTokenizer.take(
        source,
        max_tokens=min(max_tokens or limit, limit),
        input_names=input_names(model, method),
        reads_shapes=reads_shapes,
    )


def input_names(model: Any, method: str) -> tuple[str, ...]:
    """Return what the network takes of ids, mask and types."""
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    # PEFT drops the types where it puts a prefix before the text
    return ("input_ids", "attention_mask", *(["token_type_ids"] if takes_types and method != "prefix" else []))


def takes_shapes(model: Any) -> bool:
    """Return whether the network can be told by token types how words are written."""
    table = getattr(getattr(body_of(model), "embeddings", None), "token_type_embeddings", None)
    return isinstance(table, torch.nn.Embedding)


def widen_types(body: Any, table: torch.Tensor | None = None) -> None:
    """Give a network, in place, a token type for each shape; at first all are like the one it knows.

    Args:
        table: (shapes, dimension) what was learnt of them.
    """
    known = body.embeddings.token_type_embeddings.weight.detach()
    rows = known[:1].repeat(NUM_SHAPES, 1) if table is None else table.to(known.device)
    body.embeddings.token_type_embeddings = torch.nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows.clone())
    body.config.type_vocab_size = NUM_SHAPES
