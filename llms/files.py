"""Text files that appear whole."""

import os
import uuid
from pathlib import Path
from typing import BinaryIO

from llms.errors import ModelNotFoundError

__all__ = ["end_of_whole_lines", "replace_text"]


def replace_text(path: Path, text: str) -> None:
    """Write a file that is there whole or, after an error, a kill or a power cut, as it was before.

    Raises:
        ModelNotFoundError: if the folder of `path` does not exist.
        OSError: if it cannot be written.
    """
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent} to write {path.name} into; give the folder of a saved model"
        raise ModelNotFoundError(msg)
    new = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with new.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def end_of_whole_lines(file: BinaryIO) -> int:
    """Return the size of a file without a last line that a kill has cut."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1
