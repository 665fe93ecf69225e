"""Tagged texts in, a folder for `LocalTagger` out."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.finetuning.tagger.data import TaggedText, TaggedTexts, check_tagged_texts, split_tagged_texts
from llms.finetuning.tagger.options import TaggerOptions
from llms.finetuning.trainer.adapted_models import keeps_adapter, save_body
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, quiet_loading, resolve_model
from llms.manifest import SpanCanary, TaggerManifest, save_manifest
from llms.metrics import expected_calibration_error
from llms.tagger.metrics import entity_report
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import WordLogits, find_spans, log_softmax

if TYPE_CHECKING:
    from llms.finetuning.tagger.training import TrainedNetwork

_NUM_CANARIES = 3
_TEMPERATURES = (0.25, 8.0)  # few held-out words must not lead to absurd certainty


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """Where the model lies and how it did on its held-out texts, epoch by epoch."""

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


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
    temperature = _fit_temperature(words, held_out, scheme)
    manifest = _describe(train, trained, options).model_copy(
        update={
            "base_fingerprint": fingerprint,
            "temperature": temperature,
            "calibration": {"temperature": temperature},
            "metrics": _measure(words, held_out, scheme, temperature),
            "canaries": _canaries(words, scheme),
        }
    )
    _write(folder, trained, manifest, options)
    return TrainedTagger(folder, manifest.metrics, trained.history)


def _fit_temperature(words: Sequence[WordLogits], rows: Sequence[TaggedText], scheme: TagScheme) -> float:
    """Return what the outputs are to be divided by for the least log loss on the held-out words.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    from llms.finetuning.tagger.training import word_tags

    logits = np.concatenate([word.logits for word in words])  # (words, tags)
    tags = np.concatenate([word_tags(word.text, row, scheme) for word, row in zip(words, rows, strict=True)])
    places = np.arange(len(tags))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax((logits / np.exp(log_temperature)).astype(np.float32))[places, tags].mean())

    best = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return float(np.exp(best.x))


def _measure(
    words: Sequence[WordLogits], rows: Sequence[TaggedText], scheme: TagScheme, temperature: float
) -> dict[str, float]:
    found = [find_spans(scheme, word, temperature=temperature) for word in words]
    expected = [[(span.start, span.end, span.label) for span in row.spans] for row in rows]
    predicted = [[(span.start, span.end, span.label) for span in spans] for spans in found]
    averages = entity_report(expected, predicted)["averages"]
    right = [
        (span.start, span.end, span.label) in wanted
        for spans, wanted in zip(found, expected, strict=True)
        for span in spans
    ]
    metrics = {f"held_out_entity_{name}": averages["micro"][name] for name in ("precision", "recall", "f1")}
    metrics["held_out_entity_macro_f1"] = averages["macro"]["f1"]
    if right:
        probabilities = [span.probability for spans in found for span in spans]
        metrics["held_out_entity_ece"] = expected_calibration_error(probabilities, right)
    return metrics


def _canaries(words: Sequence[WordLogits], scheme: TagScheme) -> tuple[SpanCanary, ...]:
    """Return the surest answers with a span on some texts: what loading must find again."""
    asked = [word for word in words[:64] if len(word.logits)]
    found = {place: find_spans(scheme, word) for place, word in enumerate(asked)}
    order = sorted(found, key=lambda place: (not found[place], -_surety(asked[place].logits)))
    return tuple(
        SpanCanary(
            text=asked[place].text.text,
            spans=tuple((span.start, span.end, span.label) for span in found[place]),
        )
        for place in order[:_NUM_CANARIES]
    )


def _surety(logits: npt.NDArray[Any]) -> float:
    """Return how far the likeliest tag is ahead of the second, for the word where it is least."""
    ordered = np.sort(logits, axis=1)
    return float((ordered[:, -1] - ordered[:, -2]).min())


def _describe(train: TaggedTexts, trained: "TrainedNetwork", options: TaggerOptions) -> TaggerManifest:
    libraries = ("torch", "transformers", "tokenizers", "peft")
    num_trained, num_total = trained.parameters
    return TaggerManifest(
        labels=trained.tagger.scheme.labels,
        reads_shapes=trained.tagger.tokenizer.reads_shapes,
        base_model=options.base,
        adapter=keeps_adapter(options),
        method=options.method,
        seed=options.seed,
        max_tokens=trained.tagger.tokenizer.max_tokens,
        data_sha256=train.sha256,
        trained_parameters=num_trained,
        total_parameters=num_total,
        versions={name: importlib.metadata.version(name) for name in libraries},
        metrics={},
    )


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
