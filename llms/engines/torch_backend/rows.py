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

_ROOM_TOKENS = 64  # kept free behind the keys and values of running requests

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
        self._cache: Cache | None = None
        self._sizes: list[int] = []  # tokens of each row, padding not counted

    def add(self, cache: "Cache", num_tokens: int) -> None:
        """Add a row; see `Rows.add`."""
        import torch

        width = max([num_tokens, *self._sizes])
        new = [(_pad(keys, width), _pad(values, width)) for keys, values in plain_layers(cache)]
        if self._sizes:
            new = [
                (torch.cat([_pad(keys, width), new_keys]), torch.cat([_pad(values, width), new_values]))
                for (keys, values), (new_keys, new_values) in zip(self._own_layers(), new, strict=True)
            ]
        self._sizes.append(num_tokens)
        self._cache = growing_cache(new)

    def remove(self, row: int) -> None:
        """Take a row out and cut the padding that no other row needs."""
        self._sizes.pop(row)
        if not self._sizes:
            self._cache = None
            return
        kept = [index for index in range(len(self._sizes) + 1) if index != row]
        width = max(self._sizes)
        layers = [(keys[kept, :, -width:], values[kept, :, -width:]) for keys, values in self._own_layers()]
        self._cache = growing_cache(layers)

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
        cache: Any = self._cache
        logits = forward(
            self.network,
            input_ids=new,
            past_key_values=cache,
            attention_mask=mask,
            position_ids=sizes + torch.arange(new.shape[1], device=device)[None],
        )
        self._sizes = [size + new.shape[1] for size in self._sizes]
        return logits

    def shorten(self, num_tokens: int) -> None:
        """Take the last tokens of every row back."""
        if num_tokens:
            self._sizes = [size - num_tokens for size in self._sizes]
            cache: Any = self._cache
            for layer in cache.layers:
                layer.crop(-num_tokens)

    def layers_of(self, row: int) -> Layers:
        """Return a copy of one row's keys and values, without padding."""
        size = self._sizes[row]
        return [
            (keys[row : row + 1, :, -size:].clone(), values[row : row + 1, :, -size:].clone())
            for keys, values in self._own_layers()
        ]

    def _own_layers(self) -> Layers:
        cache: Any = self._cache
        return plain_layers(cache)


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

    plain_types = (DynamicLayer, _growing_layer_class())
    layers: Any = cache.layers
    return type(cache) is DynamicCache and all(type(one) in plain_types and one.is_initialized for one in layers)


def plain_layers(cache: "Cache") -> Layers:
    """Return keys and values of each layer."""
    layers: Any = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def plain_cache(layers: Layers) -> "Cache":
    """Return a cache that holds these keys and values; appending to it leaves them as they are."""
    from transformers.cache_utils import DynamicCache

    return DynamicCache(layers)


def growing_cache(layers: Layers) -> "Cache":
    """Return a cache that takes over these keys and values and has room for more beside them.

    transformers' own copies everything for each new token; with a cache for many rows that costs as much time as
    the model, and leaves the memory in pieces.
    """
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache()
    cache.layers = [_growing_layer_class()(keys, values) for keys, values in layers]
    return cache


@functools.cache
def _growing_layer_class() -> Any:
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):
        """Keys and values at the beginning of a larger space, which new ones are written into."""

        def __init__(self, keys: "torch.Tensor", values: "torch.Tensor") -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.lazy_initialization(keys, values)
            self.keys: torch.Tensor = keys
            self.values: torch.Tensor = values
            self._room: tuple[torch.Tensor, torch.Tensor] | None = None

        def update(
            self, key_states: "torch.Tensor", value_states: "torch.Tensor", *_: Any, **__: Any
        ) -> "tuple[torch.Tensor, torch.Tensor]":
            """Write new keys and values behind the old ones and return all."""
            size = self.keys.shape[2]
            needed = size + key_states.shape[2]
            if self._room is None or self._room[0].shape[2] < needed:
                self._room = (_with_room(self.keys, needed), _with_room(self.values, needed))
            self._room[0][:, :, size:needed] = key_states
            self._room[1][:, :, size:needed] = value_states
            self.keys, self.values = self._room[0][:, :, :needed], self._room[1][:, :, :needed]
            return self.keys, self.values

    return GrowingLayer


def _with_room(tensor: "torch.Tensor", needed: int) -> "torch.Tensor":
    rows, heads, size, dim = tensor.shape
    room = tensor.new_empty((rows, heads, needed + _ROOM_TOKENS, dim))
    room[:, :, :size] = tensor
    return room


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


def guess_next(ids: Sequence[int], *, max_guesses: int = 8, ngram: int = 3) -> list[int]:
    """Return the tokens that followed the last time the text ended as it does now; none if it never did.

    Answers that quote their context repeat it token by token, so the guesses are mostly right there. A wrong
    guess costs nothing but the work of checking it: the answer is the same as without guessing.

    Example:
        >>> guess_next([5, 6, 7, 8, 9, 1, 5, 6, 7], max_guesses=2)
        [8, 9]

    References:
        Saxena, "Prompt lookup decoding", 2023.
    """
    for size in range(min(ngram, len(ids) - 1), 1, -1):
        tail = list(ids[-size:])
        for index in range(len(ids) - size - 1, -1, -1):
            if ids[index] == tail[0] and list(ids[index : index + size]) == tail:
                return list(ids[index + size : index + size + max_guesses])
    return []
