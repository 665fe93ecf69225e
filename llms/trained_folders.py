"""Folders that fine-tuning wrote: whole models, and those that need their base to run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llms.device import choose_device
from llms.engines.choosing_encoder import choose_encoder
from llms.errors import ModelFolderError, UnsupportedOptionError
from llms.loading import folder_fingerprint, refuse_code, resolve_model
from llms.manifest import ADAPTER_FOLDER, MANIFEST_NAME, ModelManifest

if TYPE_CHECKING:
    from llms.device import Precision
    from llms.text_encoder import TextEncoder

__all__ = ["open_trained_encoder", "resolve_base", "resolve_trained"]


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
) -> "TextEncoder":
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
    if engine == "openvino" or precision == "int8":
        msg = (
            f"{folder} holds an adapter, and those run on torch; train with keep_adapter=False where the method can "
            "be merged, or leave engine and precision out"
        )
        raise UnsupportedOptionError(msg)
    from llms.adapted_encoder import load_adapted_encoder

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
