"""Saving of models: a folder appears complete or not at all, and never replaces something else."""

import contextlib
import functools
import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from llms.errors import ModelFolderError, TrainingSaveError
from llms.files import hold_lock, sync_files
from llms.finetuning.trainer.files import is_main_process, main_process_first, wait_for_all, writing
from llms.manifest import MANIFEST_NAME

Training = TypeVar("Training", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Where a trained model lies, its figures, and how they came about.

    Attributes:
        metrics: figures on the rows that were held out, and where those of the base are known, these too.
        history: the learning curve, a row for each time something was logged.
        method_reason: why the method was taken, where it was chosen on held-out rows.
    """

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)
    method_reason: str = ""


def alone_in_folder(train: Training) -> Training:
    """Let only one training on this machine write a model `folder` at a time, and only into a folder of ours.

    Raises:
        ModelFolderError: from the function, before any work: if another training holds the folder, or as
            `refuse_foreign_folder`.
    """
    signature = inspect.signature(train)

    @functools.wraps(train)
    def train_alone(*arguments: Any, **options: Any) -> Any:
        folder: Path = signature.bind(*arguments, **options).arguments["folder"]
        with _held(folder) if is_main_process() else contextlib.nullcontext():
            refuse_foreign_folder(folder)
            return train(*arguments, **options)

    return cast("Training", train_alone)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    # not beside the model: the file stays, since removing it would let a third one in. Of each user another one, as
    # nobody can open those of others there.
    owner_and_folder = f"{os.path.expanduser('~')}\0{folder.resolve()}"  # noqa: PTH111  # Path.home() may raise
    name = hashlib.sha256(os.fsencode(owner_and_folder)).hexdigest()[:32]
    busy = ModelFolderError(f"another training writes to {folder}; wait until it is done, or give another folder")
    with hold_lock(Path(tempfile.gettempdir(), f"tunechain-training-{name}.lock"), busy):
        yield


def refuse_foreign_folder(folder: Path) -> None:
    """Refuse to replace what this library did not write: a mistyped path must not cost anyone their files.

    Before that, a model whose replacement was cut off between two renames is put back into its place.

    Raises:
        ModelFolderError: if `folder` is there, is not empty, and holds no manifest.
        TrainingSaveError: if nothing can be written there.
    """
    with main_process_first():
        if is_main_process():
            _end_replacement(folder)
    is_model_or_empty = folder.is_dir() and ((folder / MANIFEST_NAME).exists() or not any(folder.iterdir()))
    if folder.exists() and not is_model_or_empty:
        msg = f"{folder} exists and is no model trained here; give an empty or a new folder"
        raise ModelFolderError(msg)
    _refuse_read_only(folder)


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder` that takes its place at the end; after an error the old one stays.

    Of several processes the main one does so; what the others write is dropped, and they wait until it is done.

    Raises:
        TrainingSaveError: if a file cannot be written.
    """
    if not is_main_process():
        with tempfile.TemporaryDirectory() as dropped:
            yield Path(dropped)
        wait_for_all()
        return
    with writing(f"the model in {folder}"):
        new = _work_folder(folder) / "new"
        shutil.rmtree(new.parent, ignore_errors=True)
        try:
            new.mkdir(parents=True)
            yield new
            sync_files(new)
            _take_place(new, folder)
        finally:
            _end_replacement(folder)
    wait_for_all()


def _take_place(new: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(new.with_name("old"))
    # a kill just here leaves no model in its place; `_end_replacement` puts the old one back at the next start
    new.rename(folder)
    sync_files(folder)


def _end_replacement(folder: Path) -> None:
    """Put the old model back unless a new one has taken its place, and remove what was left beside it."""
    work = _work_folder(folder)
    if (work / "old").exists() and not folder.exists():
        (work / "old").rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def _work_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-replacing")  # one name, so that the next start finds it


def _refuse_read_only(folder: Path) -> None:
    """Tell before hours of training what would fail at their end."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    for path in {nearest, nearest.parent if nearest == folder else nearest}:
        if not os.access(path, os.W_OK | os.X_OK):
            msg = f"{path} cannot be written to, so no model can be saved in {folder}; choose another folder"
            raise TrainingSaveError(msg)
