"""Bottleneck adapters: a small network after each layer, the only part that is trained.

PEFT has none, and the library that has pins an older transformers.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from llms.errors import ModelFolderError

BOTTLENECK_CONFIG_NAME = "bottleneck_config.json"
_WEIGHTS_NAME = "bottleneck.safetensors"
_ATTRIBUTE = "bottlenecks"


class Bottleneck(nn.Module):
    """Down to a few dimensions, a non-linearity, up again, added to what came in; at first it adds nothing.

    References:
        Houlsby et al., "Parameter-efficient transfer learning for NLP", ICML 2019; one per layer as in Pfeiffer
        et al., "AdapterFusion", EACL 2021.
    """

    def __init__(self, dimension: int, size: int) -> None:
        super().__init__()
        self.down = nn.Linear(dimension, size)
        self.up = nn.Linear(size, dimension)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    @override
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.up(nn.functional.gelu(self.down(hidden)))
        return hidden + added


def add_bottlenecks(body: nn.Module, *, size: int) -> nn.Module:
    """Return `body` with a trainable bottleneck after each of its layers, everything else frozen.

    Raises:
        ModelFolderError: if the layers of the model cannot be told.
    """
    layers = _layers(body)
    dimension = int(body.config.hidden_size)  # type: ignore[union-attr,arg-type]
    body.requires_grad_(requires_grad=False)
    bottlenecks = [Bottleneck(dimension, size).to(next(body.parameters()).device) for _ in layers]
    setattr(body, _ATTRIBUTE, nn.ModuleList(bottlenecks))  # a part of the body, so that it moves and is saved with it
    for layer, bottleneck in zip(layers, bottlenecks, strict=True):
        layer.register_forward_hook(_after(bottleneck))
    return body


def save_bottlenecks(body: nn.Module, folder: Path) -> None:
    """Write the bottlenecks of `body` into `folder`."""
    from safetensors.torch import save_file

    bottlenecks = getattr(body, _ATTRIBUTE)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in bottlenecks.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS_NAME)
    config = {"size": bottlenecks[0].down.out_features, "num_layers": len(bottlenecks)}
    (folder / BOTTLENECK_CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_bottlenecks(body: nn.Module, folder: Path) -> nn.Module:
    """Return `body` with the bottlenecks saved in `folder`.

    Raises:
        ModelFolderError: if they cannot be read or fit another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / BOTTLENECK_CONFIG_NAME).read_text("utf-8"))
        tensors = load_file(folder / _WEIGHTS_NAME)
        adapted = add_bottlenecks(body, size=int(config["size"]))
        getattr(adapted, _ATTRIBUTE).load_state_dict(tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        msg = f"the bottlenecks in {folder} do not fit the model: {error}; take the base they were trained on"
        raise ModelFolderError(msg) from error
    return adapted


def _layers(body: nn.Module) -> nn.ModuleList:
    wanted = getattr(body.config, "num_hidden_layers", None)
    lists = [part for part in body.modules() if isinstance(part, nn.ModuleList) and len(part) == wanted]
    if not lists:
        msg = f"{type(body).__name__} does not show its {wanted} layers as a list; take another method, such as lora"
        raise ModelFolderError(msg)
    return lists[0]


def _after(bottleneck: Bottleneck) -> Any:
    def add(_layer: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (bottleneck(output[0]), *output[1:])
        return bottleneck(output)

    return add
