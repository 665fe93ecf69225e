"""`finetune_reranker`: pairs of texts in, a folder for `LocalReranker` out."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from llms.device import choose_device
from llms.finetuning.data.pairs import TextPairs
from llms.finetuning.reranker.data import Miner, RerankerRows, prepare_lists
from llms.finetuning.reranker.evaluation import fit_score_scale, measure_lists
from llms.finetuning.reranker.options import RerankerOptions
from llms.finetuning.trainer.adapted_models import manifest_fields, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import TrainedModel, alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, quiet_loading, resolve_model
from llms.manifest import PairReference, RerankerManifest, save_manifest

if TYPE_CHECKING:
    from llms.finetuning.reranker.training import TrainedNetwork
    from llms.reranker.cross_encoder import CrossEncoder


TrainedReranker = TrainedModel
"""The outcome of `finetune_reranker`; its figures are of held-out queries among about twenty candidates each."""


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
    from llms.finetuning.reranker.training import train_cross_encoder
    from llms.reranker.cross_encoder import CrossEncoder

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
    reference_outputs = tuple(
        PairReference(query=asked.query, document=document, score=round(float(expit(scale * x + shift)), 6))
        for document, x in list(zip(asked.documents, outputs[0].tolist(), strict=True))[:2]
    )
    return RerankerManifest(
        loss=options.loss,
        scale=scale,
        shift=shift,
        reference_outputs=reference_outputs,
        **manifest_fields(
            options,
            base_fingerprint=folder_fingerprint(base),
            data_sha256=train.sha256,
            max_tokens=trained.max_tokens,
            parameters=trained.parameters,
            libraries=("torch", "transformers", "peft"),
            metrics={f"held_out_{name}": value for name, value in measure_lists(rows.held_out, logits).items()},
        ),
    )


def _write(folder: Path, trained: "TrainedNetwork", manifest: RerankerManifest, options: RerankerOptions) -> None:
    from safetensors.torch import save_file

    from llms.reranker.cross_encoder import HEAD_WEIGHTS_NAME, head_parameters

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
