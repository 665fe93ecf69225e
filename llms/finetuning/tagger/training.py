"""Training of token classification models on the first token of every word."""

import functools
from collections.abc import Mapping, Sequence
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
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.tagger.data import TaggedText
from llms.finetuning.trainer.adapted_models import apply_to_body, keeps_adapter, merge_body
from llms.finetuning.trainer.methods import count_parameters, orthogonality_loss
from llms.finetuning.trainer.trainer import TrainingRun, num_training_steps, run_training, training_fingerprint
from llms.tagger.metrics import entity_report
from llms.tagger.scheme import TagScheme
from llms.tagger.tokenizer import TaggerText, TaggerTokenizer, reads_no_case
from llms.tagger.torch_tagger import TorchTagger, load_network, tagger_tokenizer, takes_shapes, widen_types

if TYPE_CHECKING:
    from llms.finetuning.tagger.options import TaggerOptions


_IGNORED = -100  # cross_entropy leaves it out: tokens that are not the first of a word, and padding
_NO_SHAPES = ("head", "prefix")  # the first trains nothing below the last layer, the second drops token types


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A tagger just trained, and what is needed to save it."""

    tagger: TorchTagger
    source: Any  # transformers' tokenizer, to be saved beside the network
    history: list[dict[str, float]]
    parameters: tuple[int, int]  # trained, total


@dataclass(frozen=True, slots=True)
class WindowExample:
    """One window: ids, token types, and the tag of each token that is the first of its word."""

    ids: IntArray
    types: IntArray
    labels: IntArray


def train_network(
    base: Path,
    kept: Sequence[TaggedText],
    held_out: Sequence[TaggedText],
    scheme: TagScheme,
    options: "TaggerOptions",
    *,
    folder: Path,
    fingerprint: str,
) -> TrainedNetwork:
    """Return a tagger made of the encoder in `base`, trained on `kept` and stopped by `held_out`.

    Args:
        folder: where the model will be saved; checkpoints and logs lie beside it.
        fingerprint: of base and data; an interrupted training of the same goes on where it was.

    Raises:
        ModelFolderError: if the base is no encoder.
        TrainingDataError: if the base's tokenizer makes no tokens of the texts.
    """
    set_seed(options.seed)
    model, source = _open_base(base, scheme)
    reads_shapes = options.method not in _NO_SHAPES and takes_shapes(model) and reads_no_case(source)
    if reads_shapes:
        widen_types(body_of(model))
    tokenizer = tagger_tokenizer(
        source, model, max_tokens=options.max_tokens, reads_shapes=reads_shapes, method=options.method
    )
    train = window_examples(kept, tokenizer, scheme)
    if not train:
        msg = "the base's tokenizer makes no tokens of these texts; take a base that knows their script"
        raise TrainingDataError(msg)
    apply_to_body(model, options, num_steps=num_training_steps(options, len(train)))
    if reads_shapes:
        _unfreeze_types(model)
    network = _Network(model)
    parameters = count_parameters(network)
    run = TrainingRun(
        network=network,
        train=train,
        held_out=window_examples(held_out, tokenizer, scheme),
        collate=functools.partial(_collate, tokenizer),
        lengths=[len(example.ids) for example in train],
        measure=functools.partial(_entity_f1, scheme),
        metric="entity_f1",
        fingerprint=training_fingerprint(options, fingerprint),
    )
    history = run_training(run, options, folder)
    if not keeps_adapter(options):
        merge_body(model)
    tagger = TorchTagger(model, tokenizer, scheme, device=choose_device(options.device), precision=options.precision)
    return TrainedNetwork(tagger, source, history, parameters)


def word_tags(text: TaggerText, row: TaggedText, scheme: TagScheme) -> IntArray:
    """Return the tag of each word of a text: a word that a span touches belongs to it."""
    spans = [(*text.words_of(span.start, span.end), span.label) for span in row.spans]
    return scheme.tag_ids(spans, len(text.words))


class _Network(nn.Module):
    """The model with the forward pass that Trainer expects."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, labels: torch.Tensor, **tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.model(**tokens).logits.float()  # (windows, tokens, tags)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED)
        if self.training:
            loss = loss + orthogonality_loss(body_of(self.model))
        return {"loss": loss, "logits": logits}


def _open_base(base: Path, scheme: TagScheme) -> tuple[Any, Any]:
    model, source = load_network(base, num_tags=len(scheme.tags))
    if any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in model.config.architectures or ()):
        msg = (
            f"{base} is a model that continues texts, a tagger is made of an encoder; take one such as all-MiniLM-L6-v2"
        )
        raise ModelFolderError(msg)
    model.config.id2label = dict(enumerate(scheme.tags))
    model.config.label2id = {tag: index for index, tag in enumerate(scheme.tags)}
    return model, source


def _unfreeze_types(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("token_type_embeddings.weight"):
            parameter.requires_grad_(requires_grad=True)


def window_examples(rows: Sequence[TaggedText], tokenizer: TaggerTokenizer, scheme: TagScheme) -> list[WindowExample]:
    """Return the windows of all texts; each word has its tag in one of them."""
    examples = []
    for row, text in zip(rows, tokenizer.prepare([row.text for row in rows]), strict=True):
        labels = np.full(len(text.ids), _IGNORED, dtype=np.int64)
        labels[text.words[:, 2]] = word_tags(text, row, scheme)
        for window in tokenizer.windows(text):
            ids, types = tokenizer.row(text, window)
            own = np.full(len(ids), _IGNORED, dtype=np.int64)
            offset = len(tokenizer.before) - window.begin
            own[window.own_begin + offset : window.own_end + offset] = labels[window.own_begin : window.own_end]
            if (own != _IGNORED).any():  # a batch without any word would have no loss
                examples.append(WindowExample(ids, types, own))
    return examples


def _collate(tokenizer: TaggerTokenizer, examples: list[WindowExample]) -> Mapping[str, Any]:
    inputs = tokenizer.inputs([(example.ids, example.types) for example in examples])
    labels, _ = pad_rows([example.labels for example in examples], pad_id=_IGNORED)
    return {name: torch.from_numpy(array) for name, array in (inputs | {"labels": labels}).items()}


def _entity_f1(scheme: TagScheme, prediction: EvalPrediction) -> dict[str, float]:
    """Return micro precision, recall and F1 of the spans in all windows."""
    expected, predicted = [], []
    for logits, labels in zip(np.asarray(prediction.predictions), np.asarray(prediction.label_ids), strict=True):
        is_word = labels != _IGNORED
        expected.append(list(scheme.spans(labels[is_word].tolist())))
        predicted.append(list(scheme.spans(scheme.best_path(logits[is_word]))))
    micro = entity_report(expected, predicted)["averages"]["micro"]
    return {"entity_precision": micro["precision"], "entity_recall": micro["recall"], "entity_f1": micro["f1"]}
