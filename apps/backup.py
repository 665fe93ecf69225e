"""Backup of a workspace, also of one that is served, and its restoration into a new folder."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.errors import BackupError, WorkspaceError
from apps.settings import SETTINGS_NAME, Settings
from llms.files import sync_files, sync_folder

MANIFEST_NAME = "backup.json"

_VERSION: Literal[1] = 1
_SQLITE_HEAD = b"SQLite format 3\0"
_WAIT_S = 60.0  # for a program that writes
_NUM_TRIES = 5  # to copy a file that is written to
# what belongs to a running process, and the sums of files as they lie where they are
_LEFT_OUT = ("*.lock", "*-wal", "*-shm", "*-journal", "*.seal")

OnProgress = Callable[[float, int], None]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _File(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=0)
    sha256: Sha256
    mode: int = Field(ge=0, le=0o777)


class Manifest(BaseModel):
    """What a backup holds: path below the workspace -> size, sum and rights of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    made_at: datetime
    files: dict[str, _File]


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was backed up or restored.

    Attributes:
        files: how many files.
        size_bytes: of all of them.
        notes: what belongs to the workspace and lies elsewhere.
    """

    files: int
    size_bytes: int
    notes: tuple[str, ...] = ()


def back_up(settings: Settings, target: Path, *, on_progress: OnProgress | None = None) -> BackupReport:
    """Copy everything in the folder of a workspace into a new folder, which is there whole or not at all.

    The workspace may be served meanwhile: each database is copied as it stands at one moment, by SQLite's own means,
    and each other file whole. Links are not followed.

    Args:
        target: a folder that does not exist, outside the workspace.
        on_progress: called with the bytes so far and all bytes.

    Raises:
        BackupError: if the target exists or lies in the workspace, a file cannot be copied, or the disk is full.
    """
    workspace = settings.workspace.resolve()
    if target.resolve().is_relative_to(workspace):
        msg = f"{target} lies in the workspace; name a folder elsewhere, best on another disk"
        raise BackupError(msg)
    paths = _files_of(workspace)
    with _whole_folder(target, sum(path.stat().st_size for path in paths)) as folder:
        files: dict[str, _File] = {}
        done = _Done(on_progress, sum(path.stat().st_size for path in paths))
        for path in paths:
            name = path.relative_to(workspace).as_posix()
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not _copy(path, copy):
                continue  # it was removed meanwhile, such as a model that another one replaced
            copy.chmod(stat.S_IMODE(path.stat().st_mode) & 0o777 if path.exists() else 0o600)
            files[name] = _describe(copy)
            done.add(files[name].size)
        manifest = Manifest(version=_VERSION, made_at=datetime.now(UTC), files=files)
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1), "utf-8")
    return BackupReport(len(files), sum(file.size for file in files.values()), _notes(settings))


def restore(backup: Path, target: Path, *, on_progress: OnProgress | None = None) -> BackupReport:
    """Make a workspace of a backup in a new folder, which is there whole or not at all.

    Args:
        backup: a folder that `back_up` made.
        target: a folder that does not exist.
        on_progress: called with the bytes so far and all bytes.

    Raises:
        BackupError: if the backup is none, damaged, or of a later version of this program, or the target exists.
    """
    manifest = _read_manifest(backup)
    size = sum(file.size for file in manifest.files.values())
    with _whole_folder(target, size) as folder:
        done = _Done(on_progress, size)
        for name, file in sorted(manifest.files.items()):
            copy = folder / _checked_name(name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(backup / name, copy, follow_symlinks=False)
            except OSError as error:
                msg = f"{backup / name} cannot be restored: {error.strerror}; take another backup"
                raise BackupError(msg) from error
            if copy.is_symlink() or _describe(copy, mode=file.mode) != file:
                msg = f"{backup / name} is not what was backed up; take another backup"
                raise BackupError(msg)
            copy.chmod(file.mode)
            done.add(file.size)
    return BackupReport(len(manifest.files), size)


# --- what is copied


def _files_of(workspace: Path) -> list[Path]:
    """Return the files of a workspace: a store's database after what counts on it holding no less."""
    if not (workspace / SETTINGS_NAME).is_file():
        msg = f"{workspace} is no workspace, it has no {SETTINGS_NAME}"
        raise WorkspaceError(msg)
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(workspace)
        for name in names
        if not any(PurePosixPath(folder, name).match(pattern) for pattern in _LEFT_OUT)
    ]
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    for path in files:
        if not str(path).isprintable():
            msg = f"{str(path)!r} has a name that cannot be written down; rename it"
            raise BackupError(msg)
    return sorted(files, key=lambda path: (path.suffix == ".sqlite", path.name == "store.sqlite", path))


def _notes(settings: Settings) -> tuple[str, ...]:
    notes = [f"the workspace of tenant {name} has a backup of its own: {folder}" for name, folder in settings.tenants]
    if settings.customer_service.conversations:
        notes.append("conversations are in PostgreSQL; back them up with pg_dump")
    return tuple(notes)


# --- copying


def _copy(path: Path, copy: Path) -> bool:
    """Copy a file; return False if it is not there any more."""
    try:
        if _is_database(path):
            _copy_database(path, copy)
        else:
            _copy_file(path, copy)
    except FileNotFoundError:
        return False
    except (OSError, sqlite3.Error) as error:
        msg = f"{path} cannot be backed up: {error}"
        raise BackupError(msg) from error
    return True


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_HEAD)) == _SQLITE_HEAD


def _copy_database(path: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_WAIT_S)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)  # in one go, else it begins anew whenever another program writes
        target.execute("PRAGMA journal_mode = DELETE")  # all of it in one file


def _copy_file(path: Path, copy: Path) -> None:
    for _ in range(_NUM_TRIES):
        before = path.stat()
        shutil.copyfile(path, copy)
        after = path.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns):
            return
    msg = f"{path} changed each time while it was copied; try again when less is written"
    raise BackupError(msg)


@contextlib.contextmanager
def _whole_folder(target: Path, size: int) -> Iterator[Path]:
    """Give a folder beside `target` to fill, which takes its name at the end, or vanishes after an error."""
    folder = target.with_name(f"{target.name}.partial")
    try:
        if target.exists():
            msg = f"{target} exists; name a new folder, so that nothing is overwritten"
            raise BackupError(msg)
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < size:
            msg = f"{target.parent} has room for {free:,} bytes, and {size:,} are needed"
            raise BackupError(msg)
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(mode=0o700)
        yield folder
        sync_files(folder)
        folder.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror}"
        raise BackupError(msg) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _describe(path: Path, *, mode: int | None = None) -> _File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found = path.stat()
    return _File(size=found.st_size, sha256=digest, mode=stat.S_IMODE(found.st_mode) if mode is None else mode)


class _Done:
    """Counts bytes and tells them."""

    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self._on_progress = on_progress
        self._total = total
        self._so_far = 0

    def add(self, size: int) -> None:
        self._so_far += size
        if self._on_progress is not None:
            self._on_progress(self._so_far, max(self._total, self._so_far))


# --- the manifest


def _read_manifest(backup: Path) -> Manifest:
    path = backup / MANIFEST_NAME
    try:
        raw = path.read_bytes()
        version = json.loads(raw).get("version")
        if isinstance(version, int) and version > _VERSION:
            msg = f"{backup} was made by a later version of this program; restore it with that one"
            raise BackupError(msg)
        return Manifest.model_validate_json(raw)
    except OSError as error:
        msg = f"{backup} is no backup: {path.name} cannot be read ({error.strerror})"
        raise BackupError(msg) from error
    except (ValidationError, ValueError, AttributeError) as error:
        msg = f"{path} is damaged; take another backup"
        raise BackupError(msg) from error


def _checked_name(name: str) -> PurePosixPath:
    """Return a path below the workspace; nothing in a manifest leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        msg = f"the backup names a file outside the workspace: {name!r}"
        raise BackupError(msg)
    return path
