"""Arrays learnt from a workspace's records, kept beside its models under a fingerprint of those records."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from llms.arrays import load_arrays, save_arrays

Arrays = Mapping[str, NDArray[Any]]


def load_or_learn(path: Path, origin: Mapping[str, Any], learn: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept at `path` if they were learnt from `origin`, else what `learn` returns, which is kept.

    What cannot be kept, because nothing may be written there, is learnt again by the next process.

    Args:
        path: a file in the format of safetensors.
        origin: all that the arrays depend on, as JSON values; files by `file_digest`.
        learn: makes the arrays.
    """
    fingerprint = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    kept = load_arrays(path, fingerprint=fingerprint)
    if kept is not None:
        return kept
    arrays = learn()
    with contextlib.suppress(OSError):  # a workspace may lie where only its owner writes
        save_arrays(path, arrays, fingerprint=fingerprint)
    return arrays


def file_digest(path: Path) -> str:
    """Return what changes whenever a file's content does; nothing for a file that is not there."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written anew, without reading it; None for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
