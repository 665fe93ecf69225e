"""The file that says what a saved model is, and proves that nothing in its folder has changed since."""

import hashlib
import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from llms.errors import ModelFolderError
from llms.loading import file_sha256

__all__ = [
    "MANIFEST_NAME",
    "ChatManifest",
    "ClassifierManifest",
    "check_chat_folder",
    "load_chat_manifest",
    "load_manifest",
    "save_manifest",
    "template_fingerprint",
]

MANIFEST_NAME = "manifest.json"
# what decides which ids a conversation becomes
_TEMPLATE_FILES = ("chat_template.jinja", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")


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


class ChatManifest(BaseModel):
    """What a fine-tuned chat model or adapter is, where it comes from, and which template it was taught in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: Literal["chat"] = "chat"
    base_model: str
    base_fingerprint: str  # of the base's folder; an adapter fits no other weights
    method: str
    seed: int
    data_sha256: str
    template_sha256: str
    versions: dict[str, str]
    metrics: dict[str, float]
    files: dict[str, str] = {}


_Manifest = TypeVar("_Manifest", ClassifierManifest, ChatManifest)


def template_fingerprint(folder: Path) -> str:
    """Return a sha256 that changes whenever the chat template or the tokenizer in `folder` changes.

    A model answers well only in the form it was taught in, so the form of use is compared with this.

    Raises:
        ModelFolderError: if `folder` holds neither template nor tokenizer.
    """
    paths = [path for name in _TEMPLATE_FILES if (path := folder / name).is_file()]
    if not paths:
        msg = f"{folder} holds no tokenizer and no chat template ({', '.join(_TEMPLATE_FILES)}); is the copy complete?"
        raise ModelFolderError(msg)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\x1f{file_sha256(path)}\x1e".encode())
    return digest.hexdigest()


def save_manifest(manifest: ClassifierManifest | ChatManifest, folder: Path) -> None:
    """Write the manifest with the sha256 of every file in `folder`; call it last.

    Where the manifest exists, the folder is complete.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> ClassifierManifest:
    """Return the manifest of a classifier's folder after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read, or a file is missing or has changed.
    """
    return _load(folder, ClassifierManifest)


def load_chat_manifest(folder: Path) -> ChatManifest:
    """Return the manifest of a chat model's or adapter's folder after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read, or a file is missing or has changed.
    """
    return _load(folder, ChatManifest)


def check_chat_folder(folder: Path) -> None:
    """Refuse a model or adapter that is not what its training wrote; one without a manifest passes.

    Raises:
        ModelFolderError: if files have changed, or tokenizer and chat template are not those of the training.
    """
    if not (folder / MANIFEST_NAME).is_file():
        return
    manifest = load_chat_manifest(folder)
    if (found := template_fingerprint(folder)) != manifest.template_sha256:
        msg = (
            f"tokenizer and chat template in {folder} have the fingerprint {found[:12]}…, the model was trained with "
            f"{manifest.template_sha256[:12]}…; put the original files back or train the model again"
        )
        raise ModelFolderError(msg)


def _load(folder: Path, kind: type[_Manifest]) -> _Manifest:
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text("utf-8"))
        manifest = kind.model_validate(content)
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
