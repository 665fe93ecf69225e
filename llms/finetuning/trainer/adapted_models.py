"""Training methods applied to a network's body, what of it is saved, and what the manifest says of it."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llms.encoder.adapters import body_of, with_body
from llms.finetuning.trainer.methods import METHODS, apply_method, merge_method, save_adapter
from llms.finetuning.trainer.options import TrainingOptions
from llms.loading import quiet_loading
from llms.manifest import ADAPTER_FOLDER

_MOST_WORDS = 2 / 3  # of the weights of a body; see `TrainingOptions.train_word_vectors`


def apply_to_body(model: Any, options: TrainingOptions, *, num_steps: int) -> Any:
    """Return `model` with the method of `options` applied to its body; what lies above the body stays trainable.

    Args:
        model: a sentence-transformers model, or a transformers model with a head.
        num_steps: steps of the whole training.
    """
    body = apply_method(body_of(model), options.method, rank=options.rank, num_steps=num_steps)
    if options.method == "full" and not _trains_word_vectors(body, options.train_word_vectors):
        body.get_input_embeddings().weight.requires_grad_(requires_grad=False)
    return with_body(model, body)


def _trains_word_vectors(body: Any, chosen: bool | None) -> bool:  # noqa: FBT001  # an option as it was given
    if chosen is not None:
        return chosen
    num_words = body.get_input_embeddings().weight.numel()
    return bool(num_words <= _MOST_WORDS * sum(parameter.numel() for parameter in body.parameters()))


def keeps_adapter(options: TrainingOptions) -> bool:
    """Return whether what is learnt is saved beside the base: because it was asked for, or cannot be merged.

    Example:
        >>> keeps_adapter(TrainingOptions(method="lora")), keeps_adapter(TrainingOptions(method="prefix"))
        (False, True)
    """
    if options.method in ("full", "head"):
        return options.keep_adapter
    return options.keep_adapter or not METHODS[options.method].can_merge


def manifest_fields(
    options: TrainingOptions,
    *,
    base_fingerprint: str,
    data_sha256: str,
    max_tokens: int,
    parameters: tuple[int, int],
    libraries: Sequence[str],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Return what every manifest says of its model's training, by the fields of `ModelManifest`.

    Args:
        parameters: how many weights were trained, and how many there are.
        libraries: the packages whose versions decide what the model computes.
    """
    num_trained, num_total = parameters
    return {
        "base_model": options.base,
        "base_fingerprint": base_fingerprint,
        "adapter": keeps_adapter(options),
        "method": options.method,
        "seed": options.seed,
        "data_sha256": data_sha256,
        "max_tokens": max_tokens,
        "trained_parameters": num_trained,
        "total_parameters": num_total,
        "versions": {name: importlib.metadata.version(name) for name in libraries},
        "metrics": dict(metrics),
    }


def merge_body(model: Any) -> Any:
    """Return `model` with what a mergeable method learnt added to its body's weights."""
    return with_body(model, merge_method(body_of(model)))


def save_body(model: Any, folder: Path, options: TrainingOptions) -> None:
    """Write the trained model into `folder`: whole, or for an adapter that is kept, only what was added.

    A whole model is what transformers or sentence-transformers load by themselves. Of a transformers model whose
    adapter is kept, the weights above the body are written by whoever owns them.
    """
    with quiet_loading():
        if keeps_adapter(options):
            if options.method != "head":  # which adds nothing to the body
                save_adapter(body_of(model), folder / ADAPTER_FOLDER)
        elif hasattr(model, "save_pretrained") and hasattr(model, "base_model_prefix"):
            model.save_pretrained(folder)
        else:
            model.save(str(folder), create_model_card=False)
