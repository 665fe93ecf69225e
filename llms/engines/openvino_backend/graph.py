"""Tracing of transformers decoders to OpenVINO graphs whose keys and values are states."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llms.engines.openvino_backend.matrices import without_products
from llms.engines.openvino_backend.refusal import refusal
from llms.errors import EngineError
from llms.loading import quiet_loading

if TYPE_CHECKING:
    import openvino as ov
    import torch
    from transformers import PreTrainedModel


CacheShape = tuple[int, int, int]  # of one layer: heads, size of a key, size of a value


_MASKED = -3.0e38  # nearly the lowest float32; -inf would turn to NaN where a row is masked as a whole


def cache_shapes(model: "PreTrainedModel") -> list[CacheShape]:
    """Return heads, size of a key and size of a value for each layer, or refuse a cache of another kind."""
    import torch
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = DynamicCache(config=model.config)
    with torch.inference_mode(), without_products(model):
        model(input_ids=torch.ones(1, 2, dtype=torch.long), past_key_values=cache, use_cache=True)
    shapes = []
    for layer in cache.layers:
        if type(layer) is not DynamicLayer:
            raise EngineError(refusal(f"its cache is made of {type(layer).__name__}, not of plain keys and values"))
        if not layer.is_initialized or layer.keys is None or layer.values is None:
            raise EngineError(refusal("its layers share their cache"))
        shapes.append((layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3]))  # (1, heads, 2, size)
    return shapes


def stateful_graph(model: "PreTrainedModel", shapes: Sequence[CacheShape]) -> "ov.Model":
    """Return the decoder as a graph: ids, mask, positions and `beam_idx` in, logits out.

    Raises:
        EngineError: if the decoder cannot be traced.
    """
    import openvino as ov
    import torch

    try:
        with torch.inference_mode(), quiet_loading(), without_products(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of each size it takes as fixed; `_verify` is the judge
            example = _example(shapes)
            # traced here, since convert_model would trace a second time to compare
            traced: Any = torch.jit.trace(_traceable(model, len(shapes)), example, check_trace=False)  # type: ignore[no-untyped-call]
            graph = ov.convert_model(traced, example_input=example)
    except Exception as error:  # whatever a model's own code raises while it is traced
        raise EngineError(refusal(f"it cannot be traced ({type(error).__name__}: {error})")) from error
    _name_ports(graph, shapes)
    _keep_cache_as_state(graph, shapes)
    return graph


def _traceable(model: "PreTrainedModel", num_layers: int) -> "torch.nn.Module":
    """Return the decoder as a module with plain tensors as arguments: ids, mask, positions, keys and values."""
    import torch
    from transformers.cache_utils import DynamicCache, DynamicLayer

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,  # (batch, new)
            attention_mask: torch.Tensor,  # (batch, past + new), 1 where a token counts
            position_ids: torch.Tensor,  # (batch, new)
            *past: torch.Tensor,  # keys and values of each layer in turn: (batch, heads, past, size)
        ) -> tuple[torch.Tensor, ...]:
            cache = DynamicCache()
            for layer in range(num_layers):
                filled = DynamicLayer()  # type: ignore[no-untyped-call]
                filled.lazy_initialization(past[2 * layer], past[2 * layer + 1])
                filled.keys, filled.values = past[2 * layer], past[2 * layer + 1]
                cache.layers.append(filled)
            # the mask is made here, so that none of transformers' own mask functions is traced
            num_new, num_all = input_ids.shape[1], past[0].shape[2] + input_ids.shape[1]
            query = torch.arange(num_new).view(1, 1, num_new, 1) + (num_all - num_new)
            key = torch.arange(num_all).view(1, 1, 1, num_all)
            is_seen = (key <= query) & attention_mask.bool()[:, None, None, :]  # (batch, 1, new, past + new)
            output: Any = self.model(
                input_ids=input_ids,
                attention_mask=torch.where(is_seen, 0.0, _MASKED),
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
            layers: Any = output.past_key_values.layers
            return (output.logits, *(part for layer in layers for part in (layer.keys, layer.values)))

    return Decoder()


def _example(shapes: Sequence[CacheShape]) -> tuple["torch.Tensor", ...]:
    """Return arguments with sizes that differ, so that the trace cannot take one for another."""
    import torch

    batch, num_past, num_new = 2, 4, 3
    past = [
        torch.randn(batch, heads, num_past, size)
        for heads, *sizes in shapes
        for size in sizes  # of a key, of a value
    ]
    return (
        torch.ones(batch, num_new, dtype=torch.long),
        torch.ones(batch, num_past + num_new, dtype=torch.long),
        torch.arange(num_past, num_past + num_new).expand(batch, num_new).contiguous(),
        *past,
    )


def _name_ports(graph: "ov.Model", shapes: Sequence[CacheShape]) -> None:
    import openvino as ov

    inputs = ["input_ids", "attention_mask", "position_ids", *_cache_names("past_key_values", len(shapes))]
    outputs = ["logits", *_cache_names("present", len(shapes))]
    if (len(graph.inputs), len(graph.outputs)) != (len(inputs), len(outputs)):
        raise EngineError(refusal("it ignores one of ids, mask, positions or cache"))
    sizes = [None, None, None, *((heads, size) for heads, *both in shapes for size in both)]
    for port, name, size in zip(graph.inputs, inputs, sizes, strict=True):
        port.get_tensor().set_names({name})
        port.node.set_friendly_name(name)
        port.node.set_partial_shape(ov.PartialShape([-1, size[0], -1, size[1]] if size else [-1, -1]))
    for port, name in zip(graph.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()


def _cache_names(prefix: str, num_layers: int) -> list[str]:
    return [f"{prefix}.{layer}.{part}" for layer in range(num_layers) for part in ("key", "value")]


def _keep_cache_as_state(graph: "ov.Model", shapes: Sequence[CacheShape]) -> None:
    """Turn the pairs of past input and present output into states, reordered by a new input `beam_idx`."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    beam_idx = ops.parameter([-1], ov.Type.i32, name="beam_idx")
    beam_idx.output(0).get_tensor().set_names({"beam_idx"})
    graph.add_parameters([beam_idx])
    pairs = dict(
        zip(
            _cache_names("past_key_values", len(shapes)),
            _cache_names("present", len(shapes)),
            strict=True,
        )
    )
    for name in pairs:
        past = graph.input(name)
        readers = past.get_target_inputs()
        reordered = ops.gather(past, beam_idx, ops.constant(0))
        for reader in readers:
            reader.replace_source_output(reordered.output(0))
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, pairs)

    # without an empty state to begin with, the paged-attention pass leaves parameters without a source
    ids_shape = ops.shape_of(graph.input("input_ids").get_node(), output_type="i64")
    batch = ops.gather(ids_shape, ops.constant(np.array([0])), ops.constant(0))
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = node.get_output_partial_shape(0)
            rest = [ops.constant(np.array([n])) for n in (heads.get_length(), 0, size.get_length())]
            empty = ops.broadcast(ops.constant(np.float32(0)), ops.concat([batch, *rest], axis=0))
            node.set_arguments([empty])
    graph.validate_nodes_and_infer_types()
