"""Packing: several conversations in one row, none of which sees another, and the batches of rows."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from llms.errors import UnsupportedOptionError
from llms.finetuning.chat.data import IGNORED, ChatExample

Row = dict[str, list[int]]
_CHECK_TOKENS = 32
_TOLERANCE = 1e-3  # of logits; the kernels of a longer row round in another way, a leak changes whole units


def rows_of(examples: Sequence[ChatExample]) -> list[Row]:
    """Return one row for each example."""
    return [{"input_ids": example.input_ids, "labels": example.labels} for example in examples]


def pack_examples(examples: Sequence[ChatExample], *, max_tokens: int) -> list[Row]:
    """Return rows of at most `max_tokens`, each of one or several examples; every example is in exactly one row.

    The longest examples are placed first, each into the first row with room. `position_ids` begin at 0 with every
    example, which is how transformers' masks tell them apart.

    Example:
        >>> pairs = [ChatExample([1] * n, [IGNORED] + [1] * (n - 1)) for n in (3, 5, 2)]
        >>> [row["position_ids"] for row in pack_examples(pairs, max_tokens=7)]
        [[0, 1, 2, 3, 4, 0, 1], [0, 1, 2]]

    References:
        First-fit decreasing: Johnson, "Near-optimal bin packing algorithms", MIT 1973; at most 11/9 of the fewest rows.
    """
    rows: list[Row] = []
    for example in sorted(examples, key=lambda example: -len(example.input_ids)):
        size = len(example.input_ids)
        row = next((row for row in rows if len(row["input_ids"]) + size <= max_tokens), None)
        if row is None:
            row = {"input_ids": [], "labels": [], "position_ids": []}
            rows.append(row)
        row["input_ids"] += example.input_ids
        row["labels"] += [IGNORED, *example.labels[1:]]  # the first token follows another conversation's last one
        row["position_ids"] += range(size)
    return rows


def collator(pad_id: int) -> Callable[[list[Row]], dict[str, torch.Tensor]]:
    """Return the function that makes a batch of rows, padded at the right to the longest.

    Rows with positions get no attention mask: transformers finds packed conversations only without one. Their padding
    counts as one more conversation, of which nothing is learnt.
    """

    def collate(batch: list[Row]) -> dict[str, torch.Tensor]:
        # not tokenizer.pad(): its settings would be written into the saved tokenizer
        columns = {name: [torch.tensor(row[name]) for row in batch] for name in batch[0]}
        tensors = {
            "input_ids": pad_sequence(columns["input_ids"], batch_first=True, padding_value=pad_id),
            "labels": pad_sequence(columns["labels"], batch_first=True, padding_value=IGNORED),
        }
        width = tensors["input_ids"].shape[1]
        if "position_ids" in columns:
            padded = [torch.cat([indices, torch.arange(width - len(indices))]) for indices in columns["position_ids"]]
            return {**tensors, "position_ids": torch.stack(padded)}
        ones = [torch.ones_like(ids) for ids in columns["input_ids"]]
        return {**tensors, "attention_mask": pad_sequence(ones, batch_first=True)}

    return collate


def check_packing(model: Any, examples: Sequence[ChatExample]) -> None:
    """Refuse a model that would let one packed conversation see another, which is asked of the model itself.

    Raises:
        UnsupportedOptionError: if a conversation gets other logits behind another one than alone.
    """
    ids = [example.input_ids[:_CHECK_TOKENS] for example in examples[:2]]
    first, second = ids[0], ids[-1]
    if first == second:
        second = first[::-1]
    packed = {
        "input_ids": torch.tensor([[*first, *second]]),
        "position_ids": torch.tensor([[*range(len(first)), *range(len(second))]]),
    }
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([second]), use_cache=False).logits[0]
            behind = model(**packed, use_cache=False).logits[0, len(first) :]
    except TypeError as error:  # a forward pass that takes no positions
        raise UnsupportedOptionError(_refusal(model, str(error))) from error
    finally:
        model.train(was_training)
    difference = float((alone - behind).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(alone.abs().max())):
        raise UnsupportedOptionError(_refusal(model, f"its logits differ by {difference:.2g}"))


def _refusal(model: Any, reason: str) -> str:
    return (
        f"a {type(model).__name__} does not keep packed conversations apart ({reason}), so that one would be learnt "
        "from another; set packing=False"
    )
