"""A model folder appears complete or not at all, and never in the place of something else."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llms.errors import ModelFolderError
from llms.manifest import MANIFEST_NAME

__all__ = ["refuse_foreign_folder", "replace_folder"]


def refuse_foreign_folder(folder: Path) -> None:
    """Refuse to replace what this library did not write: a mistyped path must not cost anyone their files.

    Raises:
        ModelFolderError: if `folder` is there, is not empty, and holds no manifest.
    """
    is_model_or_empty = folder.is_dir() and ((folder / MANIFEST_NAME).exists() or not any(folder.iterdir()))
    if folder.exists() and not is_model_or_empty:
        msg = f"{folder} exists and is no model trained here; give an empty or a new folder"
        raise ModelFolderError(msg)


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder` that takes its place at the end; after an error the old one stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # moved there whole; only a kill between the two renames leaves neither there
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new, old = Path(temporary) / "new", Path(temporary) / "old"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
