"""Manifests of trained models: what they are, their files' hashes, and outputs to compare with."""

import hashlib
import json
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llms.errors import ModelFolderError
from llms.field_errors import describe_errors
from llms.loading import file_sha256

__all__ = [
    "ADAPTER_FOLDER",
    "MANIFEST_NAME",
    "ChatManifest",
    "ClassifierManifest",
    "EmbeddingsManifest",
    "LabelReference",
    "ModelManifest",
    "PairReference",
    "RerankerManifest",
    "SpanReference",
    "TaggerManifest",
    "TokenReference",
    "VectorReference",
    "check_chat_folder",
    "find_manifest_of",
    "is_near",
    "load_chat_manifest",
    "load_manifest",
    "load_manifest_of",
    "refuse_other_outputs",
    "save_manifest",
    "template_fingerprint",
]

MANIFEST_NAME = "manifest.json"
ADAPTER_FOLDER = "adapter"  # in a model's folder: what was added to the base, where that is kept apart
# what decides which ids a conversation becomes
_TEMPLATE_FILES = ("chat_template.jinja", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")


class ModelManifest(BaseModel):
    """What every fine-tuned model's manifest says: where it comes from, and what its files are.

    Attributes:
        base_model: the model it was trained from, as it was named.
        base_fingerprint: of the base's folder; an adapter fits no other weights.
        adapter: whether the folder holds only what was added to the base, which is then needed to run it.
        trained_parameters: how many weights were trained, of `total_parameters`.
        calibration: scales, thresholds and the promises they were fitted for.
        files: sha256 of every file in the folder.
    """

    # some fields keep an older name in the file
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_version: Literal[1] = 1
    base_model: str
    base_fingerprint: str = ""
    adapter: bool = False
    method: str
    seed: int
    data_sha256: str
    max_tokens: int = 0
    trained_parameters: int = 0
    total_parameters: int = 0
    versions: dict[str, str]
    metrics: dict[str, float]
    calibration: dict[str, float] = {}
    files: dict[str, str] = {}


class LabelReference(BaseModel):
    """A text and what the model said of it when it was saved; loading asks again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    label: str
    probability: float


class ClassifierManifest(ModelManifest):
    """What a fine-tuned classifier is, where it comes from, and how its scores become probabilities."""

    task: Literal["classifier"] = "classifier"
    labels: tuple[str, ...]
    multi_label: bool = False
    outside_label: str | None = None
    encoder_scale: float
    lexical_scale: float
    neighbour_scale: float
    scope_centers: tuple[float, ...]
    scope_spreads: tuple[float, ...]
    scope_spread: float
    min_probability: float
    min_in_scope: float
    reference_outputs: tuple[LabelReference, ...] = Field(
        default=(), validation_alias="canaries", serialization_alias="canaries"
    )


class TokenReference(BaseModel):
    """A prompt and the tokens that clearly follow it; where others do, something computes in another way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_ids: tuple[int, ...]
    next_ids: tuple[int, ...]


class SpanReference(BaseModel):
    """A text and the spans (start, end, label) the model found in it when it was saved; loading asks again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    spans: tuple[tuple[int, int, str], ...]


class TaggerManifest(ModelManifest):
    """What a fine-tuned tagger is, where it comes from, and how its outputs become probabilities.

    Attributes:
        temperature: what the outputs are divided by before they become probabilities.
        reads_shapes: whether the network is told by token types how words are written.
    """

    task: Literal["tagger"] = "tagger"
    labels: tuple[str, ...]
    temperature: float = 1.0
    reads_shapes: bool = False
    reference_outputs: tuple[SpanReference, ...] = Field(
        default=(), validation_alias="canaries", serialization_alias="canaries"
    )


class VectorReference(BaseModel):
    """A text and the first numbers of its vector when the model was saved; loading asks again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    role: Literal["query", "document"]
    numbers: tuple[float, ...]


class EmbeddingsManifest(ModelManifest):
    """What a fine-tuned sentence encoder is, and where it comes from."""

    task: Literal["embeddings"] = "embeddings"
    dimension: int
    loss: str
    reference_outputs: tuple[VectorReference, ...] = Field(
        default=(), validation_alias="canaries", serialization_alias="canaries"
    )


class PairReference(BaseModel):
    """A query, a document, and the score of the two when the model was saved; loading asks again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    document: str
    score: float


class RerankerManifest(ModelManifest):
    """What a fine-tuned cross-encoder is, where it comes from, and how its outputs become scores.

    Attributes:
        scale: what an output is multiplied by, fitted on held-out pairs.
        shift: what is added then, before the sigmoid.
    """

    task: Literal["reranker"] = "reranker"
    loss: str
    scale: float = 1.0
    shift: float = 0.0
    reference_outputs: tuple[PairReference, ...] = Field(
        default=(), validation_alias="canaries", serialization_alias="canaries"
    )


class ChatManifest(ModelManifest):
    """What a fine-tuned chat model or adapter is, where it comes from, and which template it was taught in."""

    task: Literal["chat"] = "chat"
    template_sha256: str
    reference_output: TokenReference | None = Field(
        default=None, validation_alias="canary", serialization_alias="canary"
    )


_Manifest = TypeVar("_Manifest", bound=ModelManifest)


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


def save_manifest(manifest: ModelManifest, folder: Path) -> None:
    """Write the manifest with the sha256 of every file in `folder`; call it last.

    Where the manifest exists, the folder is complete. Written again after files were added, it is replaced in one
    step.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(MANIFEST_NAME))
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=2)
    new = folder / f"{MANIFEST_NAME}.new"
    new.write_text(text + "\n", encoding="utf-8")
    new.replace(folder / MANIFEST_NAME)


def load_manifest(folder: Path) -> ClassifierManifest:
    """Return the manifest of a classifier's folder after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read, or a file is missing or has changed.
    """
    return load_manifest_of(folder, ClassifierManifest)


def load_chat_manifest(folder: Path) -> ChatManifest:
    """Return the manifest of a chat model's or adapter's folder after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read, or a file is missing or has changed.
    """
    return load_manifest_of(folder, ChatManifest)


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


def load_manifest_of(folder: Path, kind: type[_Manifest]) -> _Manifest:
    """Return the manifest of a folder, which must be of this kind, after comparing every file with it.

    Raises:
        ModelFolderError: if the manifest cannot be read or is of another task, or a file is missing or has changed.
    """
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text("utf-8"))
        manifest = kind.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        reason = describe_errors(error) if isinstance(error, ValidationError) else error
        msg = f"{folder / MANIFEST_NAME} cannot be read: {reason}; train the model again or restore the folder"
        raise ModelFolderError(msg) from error
    for name, expected in manifest.files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            msg = f"{folder / MANIFEST_NAME} lists {name!r}, which lies outside of the folder; restore the folder"
            raise ModelFolderError(msg)
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


def refuse_other_outputs(folder: Path, reference: str, found: str) -> NoReturn:
    """Refuse a model that does not give the outputs it gave when it was saved.

    Args:
        reference: what was asked, and what the model said then.
        found: what it says now.

    Raises:
        ModelFolderError: always.
    """
    msg = (
        f"the model in {folder} does not answer as it did when it was saved: {reference}, now {found}; train it again, "
        f"or take the versions of the libraries that its {MANIFEST_NAME} names"
    )
    raise ModelFolderError(msg)


def is_near(found: float, reference: float, *, tolerance: float) -> bool:
    """Return whether an output is what it was up to a tolerance; a NaN is no answer."""
    return abs(found - reference) <= tolerance


def find_manifest_of(folder: Path, kind: type[_Manifest]) -> _Manifest | None:
    """Return the manifest of a folder that was trained for this task, or None where there is none or of another.

    Raises:
        ModelFolderError: if it is of this task, and cannot be read, or a file is missing or has changed.
    """
    try:
        task = json.loads((folder / MANIFEST_NAME).read_text("utf-8")).get("task")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        return load_manifest_of(folder, kind)  # which says what is wrong with it
    return load_manifest_of(folder, kind) if task == kind.model_fields["task"].default else None
