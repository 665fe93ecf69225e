"""Saved approximate indexes: each complete or not there, checked by checksum, the current one named in one file."""

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from llms.files import sync_folder
from retrievers.store.ann import AnnKind, Metric
from retrievers.store.database import replace_file

_FOLDER = "generations"
_POINTER = "CURRENT"
_INDEX = "index.bin"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a saved index was made of: the documents up to `last_row` without those removed by then.

    Attributes:
        last_tombstone: number of the last removal that it knows.
    """

    kind: AnnKind
    metric: Metric
    num_vectors: int
    last_row: int
    last_tombstone: int


def save_generation(folder: Path, generation: Generation, index: bytes) -> None:
    """Save an index and make it the current one; older ones go.

    New bytes come first and the pointer last: at any moment the pointer names a complete generation or none.
    """
    root = folder / _FOLDER
    root.mkdir(exist_ok=True)
    sync_folder(folder)
    number = 1 + max((int(path.name) for path in root.iterdir() if path.name.isdigit()), default=0)
    target, side = root / f"{number:06d}", root / ".new"
    shutil.rmtree(side, ignore_errors=True)
    side.mkdir()
    try:
        manifest = json.dumps(dataclasses.asdict(generation) | {"index_sha256": _sha256(index)}).encode()
        for name, content in ((_INDEX, index), (_MANIFEST, manifest)):
            _write_durably(side / name, content)
        sync_folder(side)
        side.rename(target)
    except BaseException:
        shutil.rmtree(side, ignore_errors=True)
        raise
    sync_folder(root)
    replace_file(root / _POINTER, f"{target.name} {_sha256(manifest)}".encode())
    for path in root.iterdir():
        if path.is_dir() and path != target:
            shutil.rmtree(path, ignore_errors=True)


def has_generation(folder: Path) -> bool:
    """Return whether an index was saved, whole or not."""
    return (folder / _FOLDER / _POINTER).exists()


def load_generation(folder: Path) -> tuple[Generation, bytes] | str | None:
    """Return the current index, None where none was saved, or in words why it cannot be trusted."""
    root = folder / _FOLDER
    if not has_generation(folder):
        return None
    try:
        name, _, manifest_sha256 = (root / _POINTER).read_text("ascii").partition(" ")
        if not name.isdigit():
            return "the pointer to the saved index is damaged"
        manifest, index = (root / name / _MANIFEST).read_bytes(), (root / name / _INDEX).read_bytes()
        if _sha256(manifest) != manifest_sha256:
            return "the saved index's manifest is damaged"
        values = json.loads(manifest)
        if values.pop("index_sha256") != _sha256(index):
            return "the saved index is damaged"
        return Generation(**values), index
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"the saved index cannot be read: {error}"


def remove_generations(folder: Path) -> None:
    """Remove every saved index."""
    if (folder / _FOLDER).exists():
        shutil.rmtree(folder / _FOLDER)
        sync_folder(folder)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
