"""The key/value caches of the requests that run together on the torch engine.

`PaddedRows` makes one forward pass for all rows. It needs plain caches, one tensor of keys and one of values per
layer, which can be padded and joined. Models with other caches (sliding windows, linear attention) run in `SoloRows`,
one row after the other: slower, and always right.
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llms.errors import EngineError

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

__all__ = [
    "PaddedRows",
    "Rows",
    "SoloRows",
    "cache_argument",
    "forward",
    "has_plain_layers",
    "new_rows",
    "plain_cache",
    "plain_layers",
    "takes",
]

Layers = list[tuple["torch.Tensor", "torch.Tensor"]]  # per layer keys and values, each (rows, heads, tokens, dim)


class Rows(ABC):
    """Requests that run on one network, in the order in which they were added."""

    def __init__(self, network: "PreTrainedModel") -> None:
        self.network = network

    @abstractmethod
    def add(self, cache: "Cache", num_tokens: int) -> None:
        """Add a row whose first `num_tokens` tokens are in `cache`."""

    @abstractmethod
    def remove(self, row: int) -> None:
        """Take a row out."""

    @abstractmethod
    def forward(self, ids: Sequence[int]) -> "torch.Tensor":
        """Append one token to each row and return the logits after it: (rows, vocabulary)."""


class PaddedRows(Rows):
    """All rows in one cache, shorter ones padded on the left."""

    def __init__(self, network: "PreTrainedModel") -> None:
        super().__init__(network)
        self._layers: Layers = []
        self._sizes: list[int] = []  # tokens of each row, padding not counted

    def add(self, cache: "Cache", num_tokens: int) -> None:
        """Add a row; see `Rows.add`."""
        import torch

        new = plain_layers(cache)
        width = max([num_tokens, *self._sizes])
        old = [(_pad(keys, width), _pad(values, width)) for keys, values in self._layers]
        new = [(_pad(keys, width), _pad(values, width)) for keys, values in new]
        self._layers = (
            [
                (torch.cat([keys, more_keys]), torch.cat([values, more_values]))
                for (keys, values), (more_keys, more_values) in zip(old, new, strict=True)
            ]
            if old
            else new
        )
        self._sizes.append(num_tokens)

    def remove(self, row: int) -> None:
        """Take a row out and cut the padding that no other row needs."""
        self._sizes.pop(row)
        kept = [place for place in range(len(self._sizes) + 1) if place != row]
        width = max(self._sizes, default=0)
        self._layers = [(keys[kept, :, -width:], values[kept, :, -width:]) for keys, values in self._layers if kept]

    def forward(self, ids: Sequence[int]) -> "torch.Tensor":
        """Append one token to each row; see `Rows.forward`."""
        return self.forward_several([[token_id] for token_id in ids])[:, -1]

    def forward_several(self, ids: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Append the same number of tokens to each row: (rows, tokens) -> (rows, tokens, vocabulary)."""
        import torch

        device = self.network.device
        new = torch.tensor(ids, device=device)
        sizes = torch.tensor(self._sizes, device=device)[:, None]
        width = max(self._sizes) + new.shape[1]
        mask = (torch.arange(width, device=device)[None] >= width - new.shape[1] - sizes).long()
        cache = plain_cache(self._layers)
        logits = forward(
            self.network,
            input_ids=new,
            past_key_values=cache,
            attention_mask=mask,
            position_ids=sizes + torch.arange(new.shape[1], device=device)[None],
        )
        self._layers = plain_layers(cache)
        self._sizes = [size + new.shape[1] for size in self._sizes]
        return logits

    def shorten(self, num_tokens: int) -> None:
        """Take the last tokens of every row back."""
        if num_tokens:
            self._layers = [(keys[:, :, :-num_tokens], values[:, :, :-num_tokens]) for keys, values in self._layers]
            self._sizes = [size - num_tokens for size in self._sizes]

    def layers_of(self, row: int) -> Layers:
        """Return a copy of one row's keys and values, without padding."""
        size = self._sizes[row]
        return [
            (keys[row : row + 1, :, -size:].clone(), values[row : row + 1, :, -size:].clone())
            for keys, values in self._layers
        ]


class SoloRows(Rows):
    """Each row with a cache of its own."""

    def __init__(self, network: "PreTrainedModel") -> None:
        super().__init__(network)
        self._caches: list[Cache] = []

    def add(self, cache: "Cache", num_tokens: int) -> None:  # noqa: ARG002  # such a cache knows its length
        """Add a row; see `Rows.add`."""
        self._caches.append(cache)

    def remove(self, row: int) -> None:
        """Take a row out."""
        self._caches.pop(row)

    def forward(self, ids: Sequence[int]) -> "torch.Tensor":
        """Append one token to each row, one after the other; see `Rows.forward`."""
        import torch

        device = self.network.device
        logits = [
            forward(self.network, input_ids=torch.tensor([[token_id]], device=device), past_key_values=cache)[:, -1]
            for token_id, cache in zip(ids, self._caches, strict=True)
        ]
        return torch.cat(logits)


def new_rows(network: "PreTrainedModel", cache: "Cache") -> Rows:
    """Return empty rows of the kind that fits the caches this network makes."""
    return PaddedRows(network) if has_plain_layers(cache) and takes(network, "position_ids") else SoloRows(network)


def has_plain_layers(cache: "Cache") -> bool:
    """Whether a cache is one tensor of keys and one of values per layer, growing with the tokens."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return type(cache) is DynamicCache and all(
        type(layer) is DynamicLayer and layer.is_initialized for layer in cache.layers
    )


def plain_layers(cache: "Cache") -> Layers:
    """Return keys and values of each layer."""
    layers: Any = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def plain_cache(layers: Layers) -> "Cache":
    """Return a cache that holds these keys and values; appending to it leaves them as they are."""
    from transformers.cache_utils import DynamicCache

    return DynamicCache(layers)


def forward(
    network: "PreTrainedModel", *, past_key_values: "Cache", last_only: bool = False, **inputs: Any
) -> "torch.Tensor":
    """Return the logits of one forward pass: (rows, tokens, vocabulary), of the last token only if asked for.

    The vocabulary's share of the work is large in small models, so it is done for no more tokens than needed.
    """
    import torch

    if last_only and takes(network, "logits_to_keep"):
        inputs["logits_to_keep"] = 1
    inputs[cache_argument(network)] = past_key_values
    with torch.inference_mode():
        logits: torch.Tensor = network(use_cache=True, **inputs).logits
    return logits


def cache_argument(network: "PreTrainedModel") -> str:
    """Return what the network's forward pass calls its cache.

    Raises:
        EngineError: if it takes none that is known here.
    """
    for name in ("past_key_values", "cache_params"):
        if takes(network, name):
            return name
    msg = f"models of the kind {network.config.model_type!r} keep no cache between tokens, so they cannot be run here"
    raise EngineError(msg)


def takes(network: "PreTrainedModel", name: str) -> bool:
    """Whether the network's forward pass has an argument of this name."""
    network_class: Any = type(network)
    return name in _arguments(network_class)


@functools.lru_cache(maxsize=32)
def _arguments(network_class: Any) -> frozenset[str]:
    return frozenset(inspect.signature(network_class.forward).parameters)


def _pad(tensor: "torch.Tensor", width: int) -> "torch.Tensor":
    import torch

    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))
