"""Log probabilities of given continuations, with one pass over their prompt."""

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llms.engines.torch_backend.rows import forward, has_plain_layers, plain_cache, plain_layers, takes

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel


_MAX_ROWS = 64


def score_continuations(
    network: "PreTrainedModel",
    cache: "Cache",
    logits: "torch.Tensor",
    continuations: Sequence[Sequence[int]],
    *,
    num_cached: int,
) -> list[float]:
    """Return the log probability of each continuation, the sum over its tokens.

    Args:
        cache: holds the prompt; not changed.
        logits: (vocabulary,) after the prompt.
        num_cached: tokens in the cache.
    """
    import torch

    first = logits.float().log_softmax(-1)
    totals = torch.stack([first[ids[0]] for ids in continuations]).cpu()
    longer = [index for index, ids in enumerate(continuations) if len(ids) > 1]
    size = _MAX_ROWS if has_plain_layers(cache) else 1
    for start in range(0, len(longer), size):
        indices = longer[start : start + size]
        rest = [continuations[index] for index in indices]
        totals[indices] += (
            _score_rows(network, cache, rest, num_cached) if size > 1 else _score_row(network, cache, rest[0])
        )
    scores: list[float] = totals.tolist()
    return scores


def _score_row(network: "PreTrainedModel", cache: "Cache", ids: Sequence[int]) -> float:
    """Return the sum of the log probabilities of all tokens but the first, token by token.

    Some caches (Mamba's) take several tokens at once only when they are empty.
    """
    import torch

    own = copy.deepcopy(cache)
    total = 0.0
    for token_id, following in itertools.pairwise(ids):
        new = torch.tensor([[token_id]], device=network.device)
        logits = forward(network, input_ids=new, past_key_values=own)[0, -1]
        total += float(logits.float().log_softmax(-1)[following])
    return total


def _score_rows(
    network: "PreTrainedModel", cache: "Cache", continuations: Sequence[Sequence[int]], num_cached: int
) -> "torch.Tensor":
    """Return the sum of the log probabilities of all tokens but the first, in one pass: (continuations,)."""
    import torch

    device = network.device
    width = max(len(ids) for ids in continuations)
    padded = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in continuations], device=device)
    is_token = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in continuations], device=device)
    rows = len(continuations)
    own = plain_cache([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in plain_layers(cache)])
    known = torch.ones((rows, num_cached), dtype=torch.long, device=device)
    inputs: dict[str, Any] = {"attention_mask": torch.cat([known, is_token[:, :-1]], dim=1)}
    if takes(network, "position_ids"):
        inputs["position_ids"] = torch.arange(num_cached, num_cached + width - 1, device=device)[None].expand(rows, -1)
    logits = forward(network, input_ids=padded[:, :-1], past_key_values=own, **inputs)
    logprobs = logits.float().log_softmax(-1).gather(2, padded[:, 1:, None])[:, :, 0]  # (rows, tokens - 1)
    return (logprobs * is_token[:, 1:]).sum(-1).cpu()
