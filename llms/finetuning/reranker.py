"""Pairs of texts in, a folder for `LocalReranker` out."""

import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from llms.device import choose_device
from llms.encoder import quiet_loading
from llms.errors import OptionValueError, UnknownOptionError
from llms.finetuning.bodies import keeps_adapter, save_body
from llms.finetuning.checkpoints import discard_checkpoints
from llms.finetuning.pairs import TextPairs
from llms.finetuning.reranker_rows import Miner, RerankerRows, fit_score_scale, measure_lists, prepare_lists
from llms.finetuning.saving import alone_in_folder, replace_folder
from llms.finetuning.training_options import TrainingOptions
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import PairCanary, RerankerManifest, save_manifest

if TYPE_CHECKING:
    from llms.cross_encoder import CrossEncoder
    from llms.finetuning.reranker_training import TrainedNetwork

__all__ = ["RerankerOptions", "TrainedReranker", "finetune_reranker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerOptions(TrainingOptions):
    """How a reranker is trained; what is common to all tasks stands in `TrainingOptions`.

    A step of the optimizer takes `batch_size` lists, each a query with a document that answers it and others that do
    not. With every method the layers above the body are trained, too.

    Attributes:
        loss: "bce" learns of each document whether it answers the query, or its score; "listwise" learns which
            document of a list does, and nothing from lists without an answer.
        num_negatives: documents that do not answer the query, mined or drawn for each pair beside those it gives.
    """

    full_learning_rate: ClassVar[float] = 5e-5

    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 256
    loss: Literal["bce", "listwise"] = "bce"
    num_negatives: int = 4

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        TrainingOptions.__post_init__(self)
        if self.loss not in ("bce", "listwise"):
            msg = f"loss must be bce or listwise, got {self.loss!r}"
            raise UnknownOptionError(msg)
        if self.num_negatives < 0:
            msg = f"num_negatives must be at least 0, got {self.num_negatives}"
            raise OptionValueError(msg)


@dataclass(frozen=True, slots=True)
class TrainedReranker:
    """Where the model lies, and how high the answers of held-out queries stand among about twenty candidates."""

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


@alone_in_folder
def finetune_reranker(
    train: TextPairs, folder: Path, options: RerankerOptions | None = None, *, mine: Miner | None = None
) -> TrainedReranker:
    """Train a cross-encoder on pairs of texts and write a folder that `LocalReranker` loads.

    The base is a cross-encoder, or any encoder, which gets a new layer with one output. Some queries are held out;
    the weights that rank their answers best are kept, and scores are fitted there so that they say how often a
    candidate with this score is an answer.

    The folder appears complete or not at all; an existing model in its place is replaced at the end. Repeated after
    a kill, the call goes on from the newest checkpoint.

    Args:
        mine: the documents that a search finds for a query, best first: a reranker learns most from the mistakes of
            the search it will stand behind. Answers among them are left out; where there are too few, others are
            drawn from the training documents. It is asked once for each query, and must not change its mind between
            a training and its continuation.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place, or the base is
            no encoder.
        TrainingDataError: before training, if rows contradict each other or there are too few.
        TrainingError: if training breaks off; its checkpoints stay.
    """
    options = options or RerankerOptions()
    base = resolve_model(options.base)
    rows = prepare_lists(train, options, mine=mine)
    from llms.cross_encoder import CrossEncoder
    from llms.finetuning.reranker_training import train_cross_encoder

    fingerprint = f"{folder_fingerprint(base)} {train.sha256} {'mined' if mine else ''}"
    trained = train_cross_encoder(base, rows, options, folder=folder, fingerprint=fingerprint)
    device = choose_device(options.device)
    encoder = CrossEncoder(
        trained.model, trained.tokenizer, device=device, precision=options.precision, max_tokens=trained.max_tokens
    )
    manifest = _describe(train, base, rows, trained, encoder, options)
    _write(folder, trained, manifest, options)
    return TrainedReranker(folder, manifest.metrics, trained.history)


def _describe(
    train: TextPairs,
    base: Path,
    rows: RerankerRows,
    trained: "TrainedNetwork",
    encoder: "CrossEncoder",
    options: RerankerOptions,
) -> RerankerManifest:
    outputs = [encoder.logits(each.query, each.documents, batch_size=64) for each in rows.held_out]
    logits = np.concatenate(outputs)
    targets = np.array([target for each in rows.held_out for target in each.targets], dtype=np.float32)
    scale, shift = fit_score_scale(logits, targets)
    asked = rows.held_out[0]
    canaries = tuple(
        PairCanary(query=asked.query, document=document, score=round(1 / (1 + float(np.exp(-scale * x - shift))), 6))
        for document, x in list(zip(asked.documents, outputs[0].tolist(), strict=True))[:2]
    )
    libraries = ("torch", "transformers", "peft")
    num_trained, num_total = trained.parameters
    return RerankerManifest(
        base_model=options.base,
        base_fingerprint=folder_fingerprint(base),
        adapter=keeps_adapter(options),
        method=options.method,
        seed=options.seed,
        data_sha256=train.sha256,
        max_tokens=trained.max_tokens,
        trained_parameters=num_trained,
        total_parameters=num_total,
        versions={name: importlib.metadata.version(name) for name in libraries},
        metrics={f"held_out_{name}": value for name, value in measure_lists(rows.held_out, logits).items()},
        loss=options.loss,
        scale=scale,
        shift=shift,
        canaries=canaries,
    )


def _write(folder: Path, trained: "TrainedNetwork", manifest: RerankerManifest, options: RerankerOptions) -> None:
    from safetensors.torch import save_file

    from llms.cross_encoder import HEAD_WEIGHTS_NAME, head_parameters

    with replace_folder(folder) as new:
        save_body(trained.model, new, options)
        if manifest.adapter:
            head = {name: weight.detach().cpu().contiguous() for name, weight in head_parameters(trained.model).items()}
            save_file(head, new / HEAD_WEIGHTS_NAME)
        else:
            trained.tokenizer.model_max_length = manifest.max_tokens  # longer pairs are cut as in training
            with quiet_loading():
                trained.tokenizer.save_pretrained(new)
        save_manifest(manifest, new)
    discard_checkpoints(folder)
