"""Numpy arrays: names for the element types used throughout, and files of named arrays."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "DoubleArray", "FloatArray", "IntArray", "load_arrays", "save_arrays"]

FloatArray = npt.NDArray[np.float32]  # vectors, probabilities, model outputs
DoubleArray = npt.NDArray[np.float64]  # statistics
IntArray = npt.NDArray[np.int64]  # ids and indices
BoolArray = npt.NDArray[np.bool_]  # masks


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, fingerprint: str) -> None:
    """Write arrays to one safetensors file, with what tells what they were made from.

    The file is renamed when it is complete: another process may be reading it, or writing the same.

    Raises:
        OSError: if nothing can be written there.
    """
    from safetensors.numpy import save

    # safetensors writes an array's memory as it lies, so a column-major one would come back scrambled
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = save(contiguous, metadata={"fingerprint": fingerprint})
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        work = Path(file.name)
        try:
            file.write(content)
            file.close()
            work.replace(path)
        finally:
            work.unlink(missing_ok=True)


def load_arrays(path: Path, *, fingerprint: str) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays saved at `path`, or None where there are none of this fingerprint, or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            if (file.metadata() or {}).get("fingerprint") != fingerprint:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, SafetensorError):
        return None
