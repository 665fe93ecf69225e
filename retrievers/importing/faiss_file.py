"""Parser of FAISS files, without FAISS: each length is checked against the file before it is used."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray, IntArray
from retrievers.errors import OldStoreError

_MAX_DIMENSION = 65_536
_METRICS: dict[int, Literal["inner_product", "l2"]] = {0: "inner_product", 1: "l2"}
_FLAT = ("IxF2", "IxFI", "IxFl")
_HNSW_FIELDS = (8, 4, 4, 8, 4)  # bytes per entry: level probabilities, neighbour counts, levels, offsets, neighbours
_KINDS = {  # what other files most often hold
    "IxPq": "product-quantised vectors",
    "IwPQ": "product-quantised vectors",
    "IxSQ": "scalar-quantised vectors",
    "IwSq": "scalar-quantised vectors",
    "IHNs": "scalar-quantised vectors",
    "IHNp": "product-quantised vectors",
    "IxPT": "vectors changed by a transform",
    "IxRF": "vectors in two precisions",
    "IxMp": "vectors under ids of their own",
    "IxM2": "vectors under ids of their own",
}


@dataclass(frozen=True, slots=True)
class FileVectors:
    """The vectors of a file as they were added.

    Attributes:
        positions: ascending (n,): the number that the index has for each vector, counted from 0 as they were added.
        vectors: (n, dimension) float32.
        metric: how the index compares; cosines look like "l2" there. None for one that no store of ours has.
    """

    positions: IntArray
    vectors: FloatArray
    metric: Literal["inner_product", "l2"] | None

    @property
    def is_gapless(self) -> bool:
        """Whether the vectors are numbered 0, 1, 2, ... without a gap or a double."""
        return bool(np.array_equal(self.positions, np.arange(len(self.positions))))


def read_faiss_file(path: Path) -> FileVectors:
    """Return the vectors of an index that keeps them whole: flat, HNSW over flat, or IVF with flat lists.

    Raises:
        OldStoreError: if the index is of another kind, or its lengths do not fit the file.
    """
    try:
        if not path.stat().st_size:
            msg = f"{path} is empty; it is no FAISS index"
            raise OldStoreError(msg)
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise OldStoreError(msg) from error
    reader = _Reader(content, path)
    vectors = reader.read_index()
    reader.check_is_at_end()
    return vectors


@dataclass(frozen=True, slots=True)
class _Header:
    dimension: int
    num_vectors: int
    metric: int


class _Reader:
    """An offset in the file that moves on; nothing is read beyond the end."""

    def __init__(self, content: npt.NDArray[np.uint8], path: Path) -> None:
        self._content = content
        self._path = path
        self._place = 0

    def read_index(self, level: int = 0) -> FileVectors:
        """Return the vectors of the index that begins here."""
        kind = self._word()
        if kind in _FLAT:
            return self._read_flat(self._header())
        if kind == "IHNf" and level == 0:
            return self._read_hnsw()
        if kind == "IwFl" and level == 0:
            return self._read_ivf()
        held = _KINDS.get(kind, f"an index of the kind {kind!r}")
        msg = (
            f"{self._path} holds {held}, whose vectors are not what the embedding gave; "
            "have the texts embedded again: reembed=True, or --reembed"
        )
        raise OldStoreError(msg)

    def check_is_at_end(self) -> None:
        """Refuse a file that goes on after its index."""
        if self._place != len(self._content):
            self._refuse(f"{len(self._content) - self._place:,} bytes follow the index")

    # --- the kinds

    def _read_flat(self, header: _Header) -> FileVectors:
        num_numbers = self._count(4)
        if num_numbers != header.num_vectors * header.dimension:
            self._refuse(
                f"it holds {num_numbers:,} numbers for {header.num_vectors:,} vectors of dimension {header.dimension}"
            )
        vectors = self._array(num_numbers, np.float32).reshape(-1, header.dimension)
        return FileVectors(np.arange(len(vectors)), vectors, _METRICS.get(header.metric))

    def _read_hnsw(self) -> FileVectors:
        header = self._header()
        for entry_bytes in _HNSW_FIELDS:
            self._skip(self._count(entry_bytes) * entry_bytes)
        self._skip(5 * 4)  # entry point, highest level, two search widths, one number that is no longer used
        found = self.read_index(level=1)
        self._check_matches(found, header)
        return found

    def _read_ivf(self) -> FileVectors:
        header = self._header()
        self._skip(2 * 8)  # number of lists, which comes again, and of those searched
        self._skip_quantizer()
        self._skip_direct_map()
        sizes = self._list_sizes(vector_bytes=4 * header.dimension)
        if int(sizes.sum()) != header.num_vectors:
            self._refuse(f"its lists hold {int(sizes.sum()):,} vectors, its head says {header.num_vectors:,}")
        vectors = np.empty((header.num_vectors, header.dimension), dtype=np.float32)
        positions = np.empty(header.num_vectors, dtype=np.int64)
        start = 0
        for size in sizes[sizes > 0].tolist():
            rows = self._array(size * header.dimension, np.float32)
            vectors[start : start + size] = rows.reshape(size, header.dimension)
            positions[start : start + size] = self._array(size, np.int64)
            start += size
        order = np.argsort(positions, kind="stable")
        return FileVectors(positions[order], vectors[order], _METRICS.get(header.metric))

    def _skip_quantizer(self) -> None:
        """Go past the index of the centres of the lists, which is flat or HNSW."""
        if self._word() == "IHNf":
            self._read_hnsw()
        else:
            self._place -= 4
            self.read_index(level=1)

    def _skip_direct_map(self) -> None:
        (kind,) = self._numbers("<B")
        self._skip(self._count(8) * 8)
        if kind == 2:  # a table from number to position
            self._skip(self._count(16) * 16)

    def _list_sizes(self, *, vector_bytes: int) -> IntArray:
        if self._word() != "ilar":
            self._refuse("its lists lie elsewhere")
        num_lists, code_bytes = self._numbers("<QQ")
        kind = self._word()
        if code_bytes != vector_bytes or kind not in ("full", "sprs"):
            self._refuse(f"its lists hold {code_bytes:,} bytes a vector, expected {vector_bytes:,}")
        entries = self._array(self._count(8), np.int64)
        sizes = entries if kind == "full" else entries[1::2]
        lists = np.arange(len(sizes)) if kind == "full" else entries[::2]
        num_there = self._bytes_left() // (vector_bytes + 8)
        if (len(sizes) > num_lists) or (sizes < 0).any() or (sizes > num_there).any() or (np.diff(lists) <= 0).any():
            self._refuse("the lengths of its lists do not fit the file")
        return np.asarray(sizes)

    def _check_matches(self, found: FileVectors, header: _Header) -> None:
        if found.vectors.shape != (header.num_vectors, header.dimension):
            self._refuse(f"it holds {found.vectors.shape}, its head says {header.num_vectors:,} vectors")

    # --- what the kinds are made of

    def _header(self) -> _Header:
        dimension, num_vectors, _, _, _, metric = self._numbers("<iqqqBi")
        if metric > 1:
            self._skip(4)  # the exponent of a metric that has one
        num_there = self._bytes_left() // (4 * max(dimension, 1))
        if not 0 < dimension <= _MAX_DIMENSION or not 0 <= num_vectors <= num_there:
            self._refuse(f"its head says {num_vectors:,} vectors of dimension {dimension:,}")
        return _Header(dimension, num_vectors, metric)

    def _word(self) -> str:
        return bytes(self._array(4, np.uint8)).decode("latin-1")

    def _numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, bytes(self._array(struct.calcsize(form), np.uint8)))

    def _count(self, entry_bytes: int) -> int:
        """Return how many entries follow; so many must be there."""
        (count,) = self._numbers("<Q")
        if count * entry_bytes > self._bytes_left():
            self._refuse(f"{count:,} entries of {entry_bytes} bytes are announced and not there")
        return count

    def _array(self, count: int, kind: type[np.generic]) -> npt.NDArray[Any]:
        size_bytes = count * np.dtype(kind).itemsize
        start = self._place
        self._skip(size_bytes)
        return self._content[start : self._place].view(np.dtype(kind).newbyteorder("<"))

    def _skip(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_left():
            self._refuse("it ends too early")
        self._place += size_bytes

    def _bytes_left(self) -> int:
        return len(self._content) - self._place

    def _refuse(self, why: str) -> NoReturn:
        msg = f"{self._path} is damaged or no FAISS index: {why}; take it from a backup"
        raise OldStoreError(msg)
