"""Choice of the precision in which OpenVINO runs a chat model, by processor and free memory, before anything loads."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from llms.device import wants_bfloat16
from llms.engines.memory import free_bytes
from llms.errors import ModelFolderError, ModelMemoryError
from llms.openvino_export import ExportPrecision

_MB = 2**20
# below, a step takes a few milliseconds in any precision, and tokens stay those of the weights as they are
_SMALL_WEIGHTS = 50_000_000
_PROCESS_BYTES = 400 * _MB  # of a process that answers: Python, OpenVINO, the tokenizer and activations
_EXPORT_BYTES = 700 * _MB  # of a process that makes an export: torch, OpenVINO, the graph and one matrix in float32
# of a matrix and its scales; at 4 bits, 32 weights share a scale of 16 bits and a zero of 4
_BYTES_PER_WEIGHT = {"bfloat16": 2.0, "int8": 1.01, "int4": 0.58}
_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER_BYTES = 100 * _MB


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPrecision:
    """A precision to run in, and the reason for it as it is shown."""

    name: ExportPrecision
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCounts:
    """How many weights a model folder has.

    Attributes:
        matrices: in matrices whose rows belong to no token.
        tables: in matrices with a row for each token.
        file_bytes: of all weights as they are stored.
    """

    matrices: int
    tables: int
    file_bytes: int

    def stored_bytes(self, precision: ExportPrecision) -> int:
        """Return how many bytes the weights take in a precision."""
        if precision == "float32":
            return self.file_bytes
        per_table = _BYTES_PER_WEIGHT["int8" if precision == "int4" else precision]
        return int(self.matrices * _BYTES_PER_WEIGHT[precision] + self.tables * per_table)


def choose_precision(
    folder: Path, precision: str, *, kv_cache_bytes: int, is_stored: Callable[[ExportPrecision], bool]
) -> ChosenPrecision:
    """Return the precision to run a chat model in, after making sure that it fits into free memory.

    "auto" keeps that of the weights for a model of less than 50 million (16-bit floats in bfloat16 where the processor
    multiplies it, else in float32), and takes int8 for a larger one: it is the fastest and keeps the answers. Where
    int8 does not fit, it takes int4.

    Args:
        kv_cache_bytes: for keys and values.
        is_stored: whether the form of a precision was made before.

    Raises:
        ModelMemoryError: if it does not fit; both numbers are named.
    """
    counts = count_weights(folder)
    if precision != "auto":
        chosen = ChosenPrecision(name=cast("ExportPrecision", precision), reason=f"{precision} was asked for")
        _refuse_too_large(folder, counts, chosen.name, kv_cache_bytes, is_stored)
        return chosen
    if counts.matrices + counts.tables < _SMALL_WEIGHTS:
        chosen = _as_it_is(folder)
        _refuse_too_large(folder, counts, chosen.name, kv_cache_bytes, is_stored)
        return chosen
    free = free_bytes()
    needed = _needed_bytes(counts, "int8", kv_cache_bytes, is_stored)
    if free is None or needed <= free:
        return ChosenPrecision(name="int8", reason="int8, the fastest here that keeps the answers")
    _refuse_too_large(folder, counts, "int4", kv_cache_bytes, is_stored)
    reason = (
        f"int4, since int8 needs {needed // _MB:,} MiB of memory and {free // _MB:,} MiB are free; it answers less well"
    )
    return ChosenPrecision(name="int4", reason=reason)


def count_weights(folder: Path) -> WeightCounts:
    """Return how many weights the folder's files hold, from their headers alone.

    Raises:
        ModelFolderError: if a file is no safetensors file.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    vocabulary = (config.get("text_config") or config).get("vocab_size")
    matrices = tables = file_bytes = 0
    for path in sorted(folder.glob("*.safetensors")):
        for tensor in _read_header(path).values():
            shape = tensor.get("shape", [])
            size = 1
            for length in shape:
                size *= length
            file_bytes += size * _FLOAT_BYTES.get(tensor.get("dtype", ""), 1)
            if len(shape) > 1 and shape[0] == vocabulary:
                tables += size
            else:
                matrices += size
    return WeightCounts(matrices=matrices, tables=tables, file_bytes=file_bytes)


def _read_header(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors: name -> dtype and shape.

    References:
        The format: eight bytes with the length of a JSON object, the object, the data.
    """
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MAX_HEADER_BYTES:
                msg = f"a header of {size:,} bytes"
                raise ValueError(msg)
            header: dict[str, Any] = json.loads(file.read(size))
    except (OSError, ValueError, struct.error) as error:
        msg = f"{path} is no safetensors file ({error}); copy the whole folder again"
        raise ModelFolderError(msg) from error
    header.pop("__metadata__", None)
    return header


def _as_it_is(folder: Path) -> ChosenPrecision:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    is_16_bit = config.get("dtype", config.get("torch_dtype")) in ("bfloat16", "float16")
    if is_16_bit and wants_bfloat16("cpu"):
        return ChosenPrecision(name="bfloat16", reason="bfloat16, as its weights are, which this processor multiplies")
    return ChosenPrecision(name="float32", reason="float32, so that a small model's tokens are exact")


def _needed_bytes(
    counts: WeightCounts,
    precision: ExportPrecision,
    kv_cache_bytes: int,
    is_stored: Callable[[ExportPrecision], bool],
) -> int:
    """Return what a precision takes in memory at most, first while it is made and then while it answers."""
    stored = counts.stored_bytes(precision)
    to_answer = stored + kv_cache_bytes + _PROCESS_BYTES
    return to_answer if is_stored(precision) else max(to_answer, stored + _EXPORT_BYTES)


def _refuse_too_large(
    folder: Path,
    counts: WeightCounts,
    precision: ExportPrecision,
    kv_cache_bytes: int,
    is_stored: Callable[[ExportPrecision], bool],
) -> None:
    free = free_bytes()
    needed = _needed_bytes(counts, precision, kv_cache_bytes, is_stored)
    if free is not None and needed > free:
        msg = (
            f"{folder.name} in {precision} needs {needed // _MB:,} MiB of memory, {free // _MB:,} MiB are free; "
            f"close other programs, lower max_kv_cache_mb (now {kv_cache_bytes // _MB:,}), "
            'or take a smaller precision ("int4" is the smallest) or a smaller model'
        )
        raise ModelMemoryError(msg)
