"""Pairs of texts, or labelled texts, in; a folder for `LocalEmbeddings` out."""

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llms.arrays import FloatArray
from llms.device import choose_device
from llms.encoder.sentence_encoder import SentenceEncoder, open_sentence_transformer
from llms.errors import ModelFolderError
from llms.finetuning.data.examples import LabelledTexts
from llms.finetuning.data.pairs import TextPairs
from llms.finetuning.embeddings.data import ContrastiveRows, prepare_rows, with_hard_negatives
from llms.finetuning.embeddings.evaluation import Judge
from llms.finetuning.embeddings.options import EmbeddingsOptions
from llms.finetuning.trainer.adapted_models import keeps_adapter, merge_body, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import EmbeddingsManifest, VectorCanary, save_manifest

if TYPE_CHECKING:
    from llms.finetuning.embeddings.training import TrainedVectors

_CANARY_NUMBERS = 8
_ROLES: tuple[Literal["query", "document"], ...] = ("query", "document")
# their vectors mean nothing before training, or their layers only look back
_OTHER_KINDS = ("ForCausalLM", "ForConditionalGeneration", "ForSequenceClassification", "ForTokenClassification")


@dataclass(frozen=True, slots=True)
class TrainedEmbeddings:
    """Where the model lies, and how it and its base did on the held-out rows.

    Attributes:
        metrics: `held_out_` and `base_` figures: `mrr_at_10` and `accuracy_at_1` of held-out queries among all
            documents, or `spearman` and `mean_error` for the losses that learn scores.
    """

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


@alone_in_folder
def finetune_embeddings(
    train: TextPairs | LabelledTexts, folder: Path, options: EmbeddingsOptions | None = None
) -> TrainedEmbeddings:
    """Train a sentence encoder so that what belongs together lies together, and write it for `LocalEmbeddings`.

    Pairs need no negatives: the documents of the other queries in a batch are, except those known to answer the
    query. For labelled texts, texts of one label belong together. Some queries are held out and ranked among all
    documents; the weights that rank them best are kept. The prompts and the pipeline of the base stay as they are.

    The folder appears complete or not at all; an existing model in its place is replaced at the end. Repeated after
    a kill, the call goes on from the newest checkpoint.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place, or the base is
            no sentence encoder.
        TrainingDataError: before training, if rows contradict each other or there are too few.
        OptionValueError: if hard negatives are asked for where the loss takes none.
        TrainingError: if training breaks off; its checkpoints stay.
    """
    options = options or EmbeddingsOptions()
    base = resolve_model(options.base)
    _refuse_other_kinds(base)
    rows, judge = prepare_rows(train, options)
    device = choose_device(options.device)
    model = open_sentence_transformer(base, device=device)
    model.max_seq_length = min(options.max_tokens, model.max_seq_length or options.max_tokens)
    encoder = SentenceEncoder(model, device=device, precision=options.precision)
    before = judge.measure(_judged_vectors(encoder, judge))
    if options.hard_negatives:
        rows = with_hard_negatives(rows, encoder, options)
    from llms.finetuning.embeddings.training import train_vectors

    fingerprint = f"{folder_fingerprint(base)} {train.sha256}"
    trained = train_vectors(encoder, rows, judge, options=options, folder=folder, fingerprint=fingerprint)
    if not keeps_adapter(options):
        merge_body(model)
    after = judge.measure(_judged_vectors(encoder, judge))
    metrics = {f"held_out_{name}": value for name, value in after.items()}
    metrics |= {f"base_{name}": value for name, value in before.items()}
    manifest = _describe(train, base, rows, trained, metrics, options)
    with replace_folder(folder) as new:
        save_body(model, new, options)
        save_manifest(manifest, new)
    discard_checkpoints(folder)
    return TrainedEmbeddings(folder, metrics, trained.history)


def _refuse_other_kinds(base: Path) -> None:
    """Refuse models whose own kind is another, before anything is loaded; bare encoders get mean pooling."""
    if (base / "modules.json").is_file():
        return
    kinds = json.loads((base / "config.json").read_text("utf-8")).get("architectures") or []
    if wrong := next((kind for kind in kinds if str(kind).endswith(_OTHER_KINDS)), None):
        msg = f"{base} is a {wrong} and no sentence encoder; take a sentence-transformers model or a bare encoder"
        raise ModelFolderError(msg)


def _judged_vectors(encoder: SentenceEncoder, judge: Judge) -> "FloatArray":
    import numpy as np

    vectors = np.zeros((len(judge.texts), encoder.dimension), dtype=np.float32)
    for role in _ROLES:
        texts = [text for text in judge.texts if text.role == role]
        vectors[[text.place for text in texts]] = encoder.encode([text.text for text in texts], role=role)
    return vectors


def _describe(
    train: TextPairs | LabelledTexts,
    base: Path,
    rows: ContrastiveRows,
    trained: "TrainedVectors",
    metrics: dict[str, float],
    options: EmbeddingsOptions,
) -> EmbeddingsManifest:
    libraries = ("torch", "transformers", "sentence-transformers", "peft")
    num_trained, num_total = trained.parameters
    return EmbeddingsManifest(
        base_model=options.base,
        base_fingerprint=folder_fingerprint(base),
        adapter=keeps_adapter(options),
        method=options.method,
        seed=options.seed,
        data_sha256=train.sha256,
        max_tokens=int(trained.encoder.model.max_seq_length or 0),
        trained_parameters=num_trained,
        total_parameters=num_total,
        versions={name: importlib.metadata.version(name) for name in libraries},
        metrics=metrics,
        dimension=trained.encoder.dimension,
        loss=rows.loss,
        canaries=_canaries(trained.encoder, rows),
    )


def _canaries(encoder: SentenceEncoder, rows: ContrastiveRows) -> tuple[VectorCanary, ...]:
    example = rows.examples[0]
    canaries: Sequence[tuple[str, Literal["query", "document"]]] = (
        (example.query, "query"),
        (example.document, "document"),
    )
    return tuple(
        VectorCanary(
            text=text,
            role=role,
            numbers=tuple(round(float(x), 6) for x in encoder.encode([text], role=role)[0][:_CANARY_NUMBERS]),
        )
        for text, role in canaries
    )
