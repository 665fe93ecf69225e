"""The catalogue: what `models.yaml` says of each published model."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from llms.errors import ModelNotFoundError

_FILE = Path(__file__).with_name("models.yaml")

FileFormat = Literal["gguf", "e5", "zip", "installed"]
ModelTask = Literal["chat", "embeddings", "reranker", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """One data file of one package of the package index.

    Attributes:
        platform: the tag of the platform a package is built for although its data fits all; empty for any.
    """

    name: str
    version: str
    path: str
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A published model.

    Attributes:
        name: as `tunechain models add` and `LocalChatModel(model=...)` take it.
        packages: the parts of one file, in order; empty if it comes with this library.
        sha256: of the joined file.
        download_mb, disk_mb, memory_mb: 2**20 bytes to fetch, to keep, and of a process that answers with it.
    """

    name: str
    task: ModelTask
    languages: tuple[str, ...]
    parameters: int
    licence: str
    hub_id: str
    packages: tuple[PackageFile, ...]
    file_format: FileFormat
    sha256: str
    download_mb: int
    disk_mb: int
    memory_mb: int


@functools.cache
def read_catalogue() -> Mapping[str, CatalogueEntry]:
    """Return the catalogue by name.

    Example:
        >>> read_catalogue()["smollm2-135m-instruct"].licence
        'Apache-2.0'
    """
    rows: dict[str, dict[str, Any]] = yaml.safe_load(_FILE.read_text("utf-8"))
    return {name: _to_entry(name, row) for name, row in rows.items()}


def find_entry(reference: str) -> CatalogueEntry | None:
    """Return the entry with this name or hub id, in whatever case; None if there is none."""
    wanted = reference.lower()
    for entry in read_catalogue().values():
        if wanted in (entry.name, entry.hub_id.lower()):
            return entry
    return None


def suggest_encoder(language: str) -> CatalogueEntry | None:
    """Return the encoder to take for texts of a language; None where the one installed here reads it.

    Example:
        >>> suggest_encoder("zh").name, suggest_encoder("en")
        ('multilingual-e5-small', None)
    """
    fitting = [
        entry for entry in read_catalogue().values() if entry.task == "embeddings" and language in entry.languages
    ]
    if any(entry.file_format == "installed" for entry in fitting):
        return None
    return fitting[0] if fitting else None


def unknown_model(reference: str) -> ModelNotFoundError:
    """Return the error for a reference that is neither here nor in the catalogue."""
    return ModelNotFoundError(
        f"{reference!r} is no file or folder here, no hub id like 'org/name', and not in the catalogue, which has "
        f"{', '.join(read_catalogue())}"
    )


def _to_entry(name: str, row: dict[str, Any]) -> CatalogueEntry:
    is_installed = row["format"] == "installed"
    return CatalogueEntry(
        name=name,
        task=row["task"],
        languages=tuple(row["languages"]),
        parameters=int(row["parameters"]),
        licence=row["licence"],
        hub_id=row["hub_id"],
        packages=() if is_installed else tuple(_package_files(row["packages"])),
        file_format=row["format"],
        sha256=row.get("sha256", ""),
        download_mb=row["download_mb"],
        disk_mb=row["disk_mb"],
        memory_mb=row["memory_mb"],
    )


def _package_files(row: dict[str, Any]) -> Iterator[PackageFile]:
    for n in range(1, row.get("parts", 1) + 1):
        yield PackageFile(
            name=row["name"].format(n=n),
            version=str(row["version"]),
            path=row["path"].format(n=n),
            platform=row.get("platform", ""),
        )
