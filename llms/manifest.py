"""The file that says what a saved model is, and proves that nothing in its folder has changed since."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llms.errors import ModelFolderError
from llms.loading import file_sha256

__all__ = ["MANIFEST_NAME", "ClassifierManifest", "load_manifest", "save_manifest"]

MANIFEST_NAME = "manifest.json"


class ClassifierManifest(BaseModel):
    """What a fine-tuned classifier is, where it comes from, and how its scores become probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: Literal["classifier"] = "classifier"
    labels: tuple[str, ...]
    encoder_scale: float
    lexical_scale: float
    min_probability: float
    min_in_scope: float
    base_model: str
    method: str
    seed: int
    data_sha256: str
    versions: dict[str, str]
    metrics: dict[str, float]
    files: dict[str, str] = {}


def save_manifest(manifest: ClassifierManifest, folder: Path) -> None:
    """Write the manifest with the sha256 of every file in `folder`; call it last.

    Where the manifest exists, the folder is complete.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> ClassifierManifest:
    """Return the manifest of `folder` after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read, or a file is missing or has changed.
    """
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text("utf-8"))
        manifest = ClassifierManifest.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        msg = f"{folder / MANIFEST_NAME} cannot be read: {error}; train the model again or restore the folder"
        raise ModelFolderError(msg) from error
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            msg = f"{folder} lacks {name}, which its manifest lists; copy the whole folder again"
            raise ModelFolderError(msg)
        if (found := file_sha256(path)) != expected:
            msg = (
                f"{path} has changed since training (sha256 {found[:12]}…, the manifest says {expected[:12]}…); "
                "restore the file or train the model again"
            )
            raise ModelFolderError(msg)
    return manifest
