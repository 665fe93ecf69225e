"""Sentence encoders that fine-tuning wrote: found, and asked again for the vectors they gave when they were saved."""

import dataclasses
from pathlib import Path

import numpy as np

from llms.engines.choosing_encoder import EncoderChoice, choose_encoder
from llms.errors import ModelFolderError
from llms.loading import resolve_model
from llms.manifest import EmbeddingsManifest, find_manifest_of
from llms.text_encoder import TextEncoder
from llms.trained_folders import resolve_trained

__all__ = ["adapter_choice", "check_vectors", "resolve_encoder"]

# least cosine between a canary's numbers and those of today; int8 moves single numbers further than whole vectors
_MIN_COSINE = {"int8": 0.9}
_USUAL_MIN_COSINE = 0.99


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
    least = _MIN_COSINE.get(precision, _USUAL_MIN_COSINE)
    for canary in manifest.canaries:
        numbers = np.asarray(canary.numbers)
        found = encoder.encode([canary.text], role=canary.role)[0][: len(numbers)]
        cosine = float(found @ numbers / max(1e-12, float(np.linalg.norm(found) * np.linalg.norm(numbers))))
        if not cosine >= least:  # a NaN is no answer either
            msg = (
                f"the model in {folder} does not give the vectors it gave when it was saved: for "
                f"{canary.text[:60]!r} their cosine is {cosine:.3f}, at least {least} is needed; train it again, or "
                "take the versions of the libraries that its manifest names"
            )
            raise ModelFolderError(msg)
