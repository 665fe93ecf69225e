"""`finetune_tagger`: tagged texts in, a folder for `LocalTagger` out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.finetuning.tagger.data import TaggedTexts, check_tagged_texts, split_tagged_texts
from llms.finetuning.tagger.evaluation import fit_temperature, measure_spans
from llms.finetuning.tagger.options import TaggerOptions
from llms.finetuning.trainer.adapted_models import manifest_fields, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import TrainedModel, alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, quiet_loading, resolve_model
from llms.manifest import SpanReference, TaggerManifest, save_manifest
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import WordLogits, find_spans

if TYPE_CHECKING:
    from llms.finetuning.tagger.training import TrainedNetwork

_NUM_REFERENCES = 3


TrainedTagger = TrainedModel
"""The outcome of `finetune_tagger`."""


@alone_in_folder
def finetune_tagger(train: TaggedTexts, folder: Path, options: TaggerOptions | None = None) -> TrainedTagger:
    """Train on tagged texts and write a model folder that `LocalTagger` loads.

    A new layer on an encoder gives each word a tag; the method of `options` says what of the encoder is trained with
    it. An encoder whose tokenizer drops capitals is told of them by token types, since names are known by them. The
    weights of the epoch with the best entity F1 on the held-out texts are kept, and a temperature fitted on those
    texts turns outputs into probabilities.

    The folder appears complete or not at all; an existing model in its place is replaced at the end. Repeated after
    a kill, the call goes on from the newest checkpoint.

    Raises:
        ModelFolderError: before any training, if something that is no model lies in the folder's place, or the base
            is no encoder.
        TrainingDataError: if fewer than two texts have spans.
        TrainingError: if training breaks off; its checkpoints stay.
    """
    from llms.finetuning.tagger.training import train_network

    options = options or TaggerOptions()
    check_tagged_texts(train.rows)
    scheme = TagScheme.of_labels(train.labels)
    kept, held_out = split_tagged_texts(train.rows, held_out_share=options.held_out_share, seed=options.seed)
    base = resolve_model(options.base)
    fingerprint = folder_fingerprint(base)
    trained = train_network(
        base, kept, held_out, scheme, options, folder=folder, fingerprint=f"{fingerprint} {train.sha256}"
    )
    words = trained.tagger.word_logits([row.text for row in held_out])
    temperature = fit_temperature(words, held_out, scheme)
    described = manifest_fields(
        options,
        base_fingerprint=fingerprint,
        data_sha256=train.sha256,
        max_tokens=trained.tagger.tokenizer.max_tokens,
        parameters=trained.parameters,
        libraries=("torch", "transformers", "tokenizers", "peft"),
        metrics=measure_spans(words, held_out, scheme, temperature),
    )
    manifest = TaggerManifest(
        labels=trained.tagger.scheme.labels,
        reads_shapes=trained.tagger.tokenizer.reads_shapes,
        temperature=temperature,
        calibration={"temperature": temperature},
        reference_outputs=_reference_outputs(words, scheme),
        **described,
    )
    _write(folder, trained, manifest, options)
    return TrainedTagger(folder, manifest.metrics, trained.history)


def _reference_outputs(words: Sequence[WordLogits], scheme: TagScheme) -> tuple[SpanReference, ...]:
    """Return the surest answers with a span on some texts: what loading must find again."""
    asked = [word for word in words[:64] if len(word.logits)]
    found = {index: find_spans(scheme, word) for index, word in enumerate(asked)}
    order = sorted(found, key=lambda index: (not found[index], -_surety(asked[index].logits)))
    return tuple(
        SpanReference(
            text=asked[index].text.text,
            spans=tuple((span.start, span.end, span.label) for span in found[index]),
        )
        for index in order[:_NUM_REFERENCES]
    )


def _surety(logits: npt.NDArray[Any]) -> float:
    """Return how far the likeliest tag is ahead of the second, for the word where it is least."""
    ordered = np.sort(logits, axis=1)
    return float((ordered[:, -1] - ordered[:, -2]).min())


def _write(folder: Path, trained: "TrainedNetwork", manifest: TaggerManifest, options: TaggerOptions) -> None:
    with replace_folder(folder) as new:
        save_body(trained.tagger.model, new, options)
        if manifest.adapter:
            _save_head(trained, new)
        else:
            with quiet_loading():
                trained.source.save_pretrained(new)
        save_manifest(manifest, new)
    discard_checkpoints(folder)


def _save_head(trained: "TrainedNetwork", new: Path) -> None:
    """Write what lies above the body, which is the base's, and the table of shapes."""
    from safetensors.torch import save_file

    from llms.tagger.torch_tagger import HEAD_NAME, SHAPES_KEY

    model = trained.tagger.model
    body = f"{model.base_model_prefix}."
    weights = model.state_dict()
    tensors = {name: tensor for name, tensor in weights.items() if not name.startswith(body)}
    if trained.tagger.tokenizer.reads_shapes:
        (name,) = [name for name in weights if name.endswith("token_type_embeddings.weight")]
        tensors[SHAPES_KEY] = weights[name]
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, new / HEAD_NAME)
