"""Decoders in torch whose matrices stay in the memory-mapped files: traced without, computed piece by piece."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.engines.openvino_backend.refusal import refusal
from llms.engines.openvino_backend.weights import matrix_form, stored_weights
from llms.errors import EngineError, ModelFolderError
from llms.loading import FROM_FOLDER, loading_from

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llms.openvino_export import ExportPrecision

_PIECE_WEIGHTS = 2**23  # brought to float32 at a time
_PATCHED = "_forward_of_the_class"


def load_decoder(folder: Path) -> "PreTrainedModel":
    """Return the decoder in a folder; its matrices keep the precision of the files, all else is float32.

    Raises:
        EngineError: if it is no decoder that can be traced.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with loading_from(folder, "a causal language model"):
            config: Any = AutoConfig.from_pretrained(folder, **FROM_FOLDER)
            if config.is_encoder_decoder:
                raise EngineError(refusal("it is an encoder with a decoder"))
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                dtype="auto",
                attn_implementation="sdpa",
                output_loading_info=True,
                **FROM_FOLDER,
            )
    except ModelFolderError as error:
        reason = "its attention has no SDPA form" if "scaled_dot_product" in str(error) else str(error)
        raise EngineError(refusal(reason)) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise EngineError(refusal(f"it lacks weights ({missing[0]}, ...)"))
    return _all_but_matrices_in_float32(model.eval())


def num_tokens_of(model: "PreTrainedModel") -> int:
    """Return how many rows the table of tokens has."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.weight.shape[0])


def takes_groups(model: "PreTrainedModel") -> bool:
    """Return whether rows of the model's matrices may be cut into groups: none is stored with its columns first."""
    _, _, transposed = _matrix_classes()
    return not any(type(module) is transposed for module in model.modules())


@contextlib.contextmanager
def without_products(model: "PreTrainedModel") -> Iterator[None]:
    """Let a trace of the model record its matrices and their products, which are not computed: no weight is read."""
    import torch
    from openvino.frontend.pytorch import ModuleExtension
    from openvino.frontend.pytorch.patch_model import patch_model, unpatch_model

    def like(shape: "tuple[int, ...]", size: int) -> "torch.Tensor":
        return torch.full((*shape, size), 0.5)

    linear, embedding, transposed = _matrix_classes()
    extensions = {
        linear: ModuleExtension(
            linear,
            "ov_ext::linear",
            convert=lambda module, record, values: record(values, module.weight, module.bias),
            evaluate=lambda module, values, *_: like(values.shape[:-1], module.weight.shape[0]),
        ),
        transposed: ModuleExtension(
            transposed,
            "ov_ext::conv1d",
            convert=lambda module, record, values: record(values, module.weight, module.bias),
            evaluate=lambda module, values, *_: like(values.shape[:-1], module.weight.shape[1]),
        ),
        embedding: ModuleExtension(
            embedding,
            "ov_ext::embedding",
            convert=lambda module, record, ids: record(
                module.weight, ids, module.padding_idx, module.scale_grad_by_freq, module.sparse
            ),
            evaluate=lambda module, _weight, ids, *__: like(ids.shape, module.weight.shape[1]),
        ),
    }
    patch_model(model, extensions, _PATCHED)
    try:
        yield
    finally:
        unpatch_model(model, _PATCHED)


@contextlib.contextmanager
def with_stored_weights(model: "PreTrainedModel", precision: "ExportPrecision") -> Iterator[None]:
    """Let the model compute in float32 with its weights as they come out of their stored form, a piece at a time."""
    linear, embedding, transposed = _matrix_classes()
    vocabulary = num_tokens_of(model)
    may_group = takes_groups(model)
    changed = []
    for module in model.modules():
        if type(module) not in (linear, embedding, transposed):
            continue
        kind, stored = type(module), module.weight.detach()  # type: ignore[operator]
        weight: torch.Tensor = stored.T if kind is transposed else stored
        form = matrix_form(precision, *weight.shape, vocabulary=vocabulary, takes_groups=may_group and kind is linear)
        module.forward = _rows_of(weight, form) if kind is embedding else _product(module, weight, form)
        changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _matrix_classes() -> "tuple[type[torch.nn.Module], type[torch.nn.Module], type[torch.nn.Module]]":
    """Return what holds a matrix (outputs, inputs), a table of rows, and a matrix (inputs, outputs)."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return torch.nn.Linear, torch.nn.Embedding, Conv1D


def _all_but_matrices_in_float32(model: "PreTrainedModel") -> "PreTrainedModel":
    matrices = _matrix_classes()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_floating_point() and not (type(module) in matrices and name == "weight"):
                parameter.data = parameter.data.float()
        for buffer in module.buffers(recurse=False):
            if buffer.is_floating_point():
                buffer.data = buffer.data.float()
    return model


def _product(module: Any, weight: "torch.Tensor", form: Any) -> Any:
    import torch

    size = max(1, _PIECE_WEIGHTS // weight.shape[1])

    def forward(values: torch.Tensor) -> torch.Tensor:
        pieces = [values @ _stored(weight[begin : begin + size], form).T for begin in range(0, weight.shape[0], size)]
        product = torch.cat(pieces, dim=-1)
        return product if module.bias is None else product + module.bias

    return forward


def _rows_of(weight: "torch.Tensor", form: Any) -> Any:
    def forward(ids: "torch.Tensor") -> "torch.Tensor":
        rows = _stored(weight[ids.flatten()], form)
        return rows.view(*ids.shape, -1)

    return forward


def _stored(weight: "torch.Tensor", form: Any) -> "torch.Tensor":
    import torch

    return torch.from_numpy(stored_weights(weight.float().contiguous().numpy(), form))
