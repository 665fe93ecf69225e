"""Training of cross-encoders on lists of candidates, of which one answers the query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import EvalPrediction, set_seed
from typing_extensions import override

from llms.arrays import IntArray
from llms.device import choose_device
from llms.encoder.adapters import body_of
from llms.encoder.token_batches import pad_rows
from llms.encoder.tokenizer import longest_input
from llms.finetuning.reranker.data import CandidateList, RerankerRows
from llms.finetuning.reranker.evaluation import measure_lists
from llms.finetuning.trainer.adapted_models import apply_to_body, keeps_adapter, merge_body
from llms.finetuning.trainer.methods import count_parameters, orthogonality_loss
from llms.finetuning.trainer.trainer import TrainingRun, num_training_steps, run_training, training_fingerprint
from llms.reranker.cross_encoder import head_parameters, open_base, pair_tokenizer, takes_types

if TYPE_CHECKING:
    from llms.finetuning.reranker.options import RerankerOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A trained cross-encoder, with what was learnt merged into it unless it is kept apart."""

    model: Any
    tokenizer: Any
    max_tokens: int
    history: list[dict[str, float]]
    parameters: tuple[int, int]  # trained, total


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Token rows of one list in training, or of one pair that judges."""

    rows: list[tuple[IntArray, IntArray]]  # ids and types
    targets: list[float]
    index: int | None = None


def train_cross_encoder(
    base: Path, rows: RerankerRows, options: "RerankerOptions", *, folder: Path, fingerprint: str
) -> TrainedNetwork:
    """Return the cross-encoder trained from `base`, with the weights that were best on the held-out lists.

    Args:
        folder: where the model will be saved; checkpoints and logs lie beside it.
        fingerprint: of base and data; an interrupted training of the same goes on where it was.
    """
    set_seed(options.seed)  # a new head is drawn, too
    model, tokenizer = open_base(base)
    model.to(choose_device(options.device))
    head = head_parameters(model)
    apply_to_body(model, options, num_steps=num_training_steps(options, len(rows.train)))
    for weight in head.values():  # the method froze the pooler with the body
        weight.requires_grad_(requires_grad=True)
    max_tokens = min(options.max_tokens, longest_input(tokenizer, model.config))
    tokenize = _PairTokens(tokenizer, max_tokens)
    examples = [tokenize.as_list(candidates) for candidates in rows.train]
    network = _Network(model, options.loss)
    run = TrainingRun(
        network=network,
        train=examples,
        held_out=tokenize.as_pairs(rows.held_out),
        collate=_Collator(tokenizer, takes_types=takes_types(model, tokenizer)),
        lengths=[max(len(ids) for ids, _ in example.rows) for example in examples],
        fingerprint=training_fingerprint(options, fingerprint),
        measure=_measure(rows.held_out),
        metric="mrr_at_10",
    )
    parameters = count_parameters(network)
    history = run_training(run, options, folder)
    for row in history:
        row.pop("held_out_loss", None)  # single pairs have none
    if not keeps_adapter(options):
        merge_body(model)
    return TrainedNetwork(
        model=model.eval(), tokenizer=tokenizer, max_tokens=max_tokens, history=history, parameters=parameters
    )


def listwise_loss(logits: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return how badly the first candidate of each list stands out of its list.

    Args:
        logits: (candidates,) of all lists, one after the other.
        sizes: candidates of each list.

    References:
        Gao, Dai and Callan, "Rethink training of BERT rerankers in multi-stage retrieval pipeline", ECIR 2021.
    """
    lists = torch.split(logits, list(sizes))
    padded = nn.utils.rnn.pad_sequence(list(lists), batch_first=True, padding_value=-torch.inf)  # (lists, longest)
    return nn.functional.cross_entropy(padded, torch.zeros(len(lists), dtype=torch.long, device=logits.device))


class _Network(nn.Module):
    """Cross-encoder and loss; in evaluation the raw outputs come back."""

    def __init__(self, model: Any, loss: str) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    @override
    def forward(
        self, labels: torch.Tensor, tokens: dict[str, torch.Tensor], sizes: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        logits = self.model(**tokens).logits[:, 0].float()  # (pairs,)
        if sizes is None:  # pairs that judge
            return {"loss": torch.zeros(1, device=logits.device), "logits": logits}
        if self.loss == "listwise":
            loss = listwise_loss(logits, sizes.tolist())
        else:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        if self.training:
            loss = loss + orthogonality_loss(body_of(self.model))
        return {"loss": loss, "logits": logits}


class _PairTokens:
    """Texts to token rows, as the reranker makes them at work."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = pair_tokenizer(tokenizer, max_tokens)

    def as_list(self, candidates: CandidateList) -> _Pairs:
        pairs = [(candidates.query, document) for document in candidates.documents]
        encoded = self._tokenizer.encode_batch_fast(pairs)
        rows = [(np.asarray(row.ids, dtype=np.int64), np.asarray(row.type_ids, dtype=np.int64)) for row in encoded]
        return _Pairs(rows=rows, targets=list(candidates.targets))

    def as_pairs(self, lists: Sequence[CandidateList]) -> list[_Pairs]:
        """Return each candidate of each list as an example, long ones first."""
        rows = [(row, target) for each in map(self.as_list, lists) for row, target in _zipped(each)]
        pairs = [_Pairs(rows=[row], targets=[target], index=index) for index, (row, target) in enumerate(rows)]
        return sorted(pairs, key=lambda pair: -len(pair.rows[0][0]))


class _Collator:
    """Token rows to what the network takes."""

    def __init__(self, tokenizer: Any, *, takes_types: bool) -> None:
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.pad_type_id = int(tokenizer.pad_token_type_id)
        self.pads_left = tokenizer.padding_side == "left"
        self.takes_types = takes_types

    def __call__(self, examples: list[_Pairs]) -> dict[str, Any]:
        rows = [row for example in examples for row in example.rows]
        ids, mask = pad_rows([ids for ids, _ in rows], pad_id=self.pad_id, pads_left=self.pads_left)
        arrays = {"input_ids": ids, "attention_mask": mask}
        if self.takes_types:
            types = [types for _, types in rows]
            arrays["token_type_ids"], _ = pad_rows(types, pad_id=self.pad_type_id, pads_left=self.pads_left)
        tokens = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if examples[0].index is not None:
            return {"labels": torch.tensor([example.index for example in examples]), "tokens": tokens}
        return {
            "labels": torch.tensor([target for example in examples for target in example.targets]),
            "tokens": tokens,
            "sizes": torch.tensor([len(example.rows) for example in examples]),
        }


def _zipped(pairs: _Pairs) -> list[tuple[tuple[IntArray, IntArray], float]]:
    return list(zip(pairs.rows, pairs.targets, strict=True))


def _measure(lists: Sequence[CandidateList]) -> Callable[[EvalPrediction], dict[str, float]]:
    def measure(prediction: EvalPrediction) -> dict[str, float]:
        logits, indices = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        in_place = np.zeros_like(logits)
        in_place[indices] = logits
        return measure_lists(lists, in_place)

    return measure
