"""`finetune_embeddings`: pairs of texts, or labelled texts, in; a folder for `LocalEmbeddings` out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llms.arrays import FloatArray
from llms.device import choose_device
from llms.encoder.sentence_encoder import SentenceEncoder, open_sentence_transformer
from llms.errors import ModelFolderError
from llms.finetuning.data.examples import LabelledTexts
from llms.finetuning.data.pairs import TextPairs
from llms.finetuning.embeddings.data import ContrastiveRows, prepare_rows, with_hard_negatives
from llms.finetuning.embeddings.evaluation import Evaluator
from llms.finetuning.embeddings.options import EmbeddingsOptions
from llms.finetuning.trainer.adapted_models import keeps_adapter, manifest_fields, merge_body, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import TrainedModel, alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import EmbeddingsManifest, VectorReference, save_manifest

_REFERENCE_NUMBERS = 8
_ROLES: tuple[Literal["query", "document"], ...] = ("query", "document")
# their vectors mean nothing before training, or their layers only look back
_OTHER_KINDS = ("ForCausalLM", "ForConditionalGeneration", "ForSequenceClassification", "ForTokenClassification")


TrainedEmbeddings = TrainedModel
"""The outcome of `finetune_embeddings`.

`metrics` are `held_out_` and `base_` figures: `mrr_at_10` and `accuracy_at_1` of held-out queries among all documents,
or `spearman` and `mean_error` for the losses that learn scores.
"""


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
    rows, evaluator = prepare_rows(train, options)
    device = choose_device(options.device)
    model = open_sentence_transformer(base, device=device)
    model.max_seq_length = min(options.max_tokens, model.max_seq_length or options.max_tokens)
    encoder = SentenceEncoder(model, device=device, precision=options.precision)
    before = evaluator.measure(_evaluated_vectors(encoder, evaluator))
    if options.hard_negatives:
        rows = with_hard_negatives(rows, encoder, options)
    from llms.finetuning.embeddings.training import train_vectors

    fingerprint = f"{folder_fingerprint(base)} {train.sha256}"
    trained = train_vectors(encoder, rows, evaluator, options=options, folder=folder, fingerprint=fingerprint)
    if not keeps_adapter(options):
        merge_body(model)
    after = evaluator.measure(_evaluated_vectors(encoder, evaluator))
    metrics = {f"held_out_{name}": value for name, value in after.items()}
    metrics |= {f"base_{name}": value for name, value in before.items()}
    manifest = EmbeddingsManifest(
        dimension=encoder.dimension,
        loss=rows.loss,
        reference_outputs=_reference_outputs(trained.encoder, rows),
        **manifest_fields(
            options,
            base_fingerprint=folder_fingerprint(base),
            data_sha256=train.sha256,
            max_tokens=int(trained.encoder.model.max_seq_length or 0),
            parameters=trained.parameters,
            libraries=("torch", "transformers", "sentence-transformers", "peft"),
            metrics=metrics,
        ),
    )
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


def _evaluated_vectors(encoder: SentenceEncoder, evaluator: Evaluator) -> "FloatArray":
    import numpy as np

    vectors = np.zeros((len(evaluator.texts), encoder.dimension), dtype=np.float32)
    for role in _ROLES:
        texts = [text for text in evaluator.texts if text.role == role]
        vectors[[text.row for text in texts]] = encoder.encode([text.text for text in texts], role=role)
    return vectors


def _reference_outputs(encoder: SentenceEncoder, rows: ContrastiveRows) -> tuple[VectorReference, ...]:
    example = rows.examples[0]
    asked: Sequence[tuple[str, Literal["query", "document"]]] = (
        (example.query, "query"),
        (example.document, "document"),
    )
    return tuple(
        VectorReference(
            text=text,
            role=role,
            numbers=tuple(round(float(x), 6) for x in encoder.encode([text], role=role)[0][:_REFERENCE_NUMBERS]),
        )
        for text, role in asked
    )
