"""Folders of fine-tuned sentence encoders: found, opened, and compared with their reference vectors."""

import dataclasses
import json
from pathlib import Path
from typing import cast

import numpy as np

from llms.device import Precision, choose_device
from llms.encoder.backend import EncoderChoice, choose_encoder, refuse_adapter
from llms.encoder.text_encoder import TextEncoder
from llms.errors import ModelFolderError
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import (
    ADAPTER_FOLDER,
    MANIFEST_NAME,
    EmbeddingsManifest,
    ModelManifest,
    find_manifest_of,
    refuse_other_outputs,
)
from llms.model_folder import refuse_code

# least cosine of a reference output's numbers and today's; int8 moves single numbers further than whole vectors
_MIN_COSINE = {"int8": 0.9}
_DEFAULT_MIN_COSINE = 0.99


def resolve_encoder(reference: str | Path, *, allow_download: bool = False) -> tuple[Path, EmbeddingsManifest | None]:
    """Return the folder of a sentence encoder, and the manifest where `finetune_embeddings` wrote it.

    Raises:
        ModelNotFoundError: if the model is not on this machine.
        ModelFolderError: if the folder is incomplete, or has changed since its training.
    """
    folder = resolve_trained(reference, allow_download=allow_download)
    manifest = find_manifest_of(folder, EmbeddingsManifest)
    if manifest is None:  # a plain model, or the adapter of another task, which is none
        folder = resolve_model(reference, allow_download=allow_download)
    return folder, manifest


def adapter_choice(folder: Path, *, precision: str, device: str) -> EncoderChoice:
    """Return the engine of an adapter, which is always torch."""
    choice = choose_encoder(folder, engine="torch", precision=precision, device=device)
    return dataclasses.replace(choice, reason="the folder holds an adapter, and those run on torch")


def check_vectors(encoder: TextEncoder, manifest: EmbeddingsManifest, folder: Path, *, precision: str) -> None:
    """Refuse an encoder whose vectors are not those it had when it was saved.

    Raises:
        ModelFolderError: with the cosine found and the one needed.
    """
    least = _MIN_COSINE.get(precision, _DEFAULT_MIN_COSINE)
    for output in manifest.reference_outputs:
        numbers = np.asarray(output.numbers)
        found = encoder.encode([output.text], role=output.role)[0][: len(numbers)]
        cosine = float(found @ numbers / max(1e-12, float(np.linalg.norm(found) * np.linalg.norm(numbers))))
        if not cosine >= least:  # a NaN is no answer either
            reference = f"the vector of {output.text[:60]!r} must have a cosine of at least {least} to what it was"
            refuse_other_outputs(folder, reference, f"{cosine:.3f}")


def resolve_trained(reference: str | Path, *, allow_download: bool = False) -> Path:
    """Return the folder of a model; one that holds only what was added to a base is complete in its way.

    Raises:
        ModelNotFoundError, ModelFolderError, UnsafeModelError: as `resolve_model`.
    """
    folder = Path(reference)
    if _holds_adapter(folder):
        refuse_code(folder)
        return folder
    return resolve_model(reference, allow_download=allow_download)


def resolve_base(folder: Path, manifest: ModelManifest) -> Path:
    """Return the folder of the base that the adapter in `folder` was trained on.

    Raises:
        ModelNotFoundError: if the base is not on this machine.
        ModelFolderError: if it is not the very model the adapter was trained on.
    """
    base = resolve_model(manifest.base_model)
    if (found := folder_fingerprint(base)) != manifest.base_fingerprint:
        msg = (
            f"{folder} was trained on another {manifest.base_model} (fingerprint {manifest.base_fingerprint}, this one "
            f"has {found}); put the original base there, or train again"
        )
        raise ModelFolderError(msg)
    return base


def open_trained_encoder(
    folder: Path, manifest: ModelManifest, *, engine: str, device: str, precision: str
) -> TextEncoder:
    """Return the sentence encoder of a trained folder; the same files are loaded once and then shared.

    Raises:
        ModelFolderError: if the folder or its base cannot be loaded.
        UnsupportedOptionError: if OpenVINO is asked for and the encoder is an adapter.
    """
    if not manifest.adapter:
        return choose_encoder(folder, engine=engine, precision=precision, device=device).open()
    base = resolve_base(folder, manifest)
    adapter = folder / ADAPTER_FOLDER
    if not adapter.is_dir():  # only the head was trained
        return choose_encoder(base, engine=engine, precision=precision, device=device).open()
    refuse_adapter(folder, engine=engine, precision=precision)
    from llms.encoder.adapters import load_adapted_encoder

    return load_adapted_encoder(
        base,
        adapter,
        max_tokens=manifest.max_tokens,
        device=choose_device(device),
        precision=cast("Precision", precision),
    )


def _holds_adapter(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST_NAME).read_text("utf-8")).get("adapter"))
    except (OSError, ValueError, AttributeError):
        return False
