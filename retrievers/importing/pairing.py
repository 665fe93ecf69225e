"""Pairing of an old store's vectors with its documents, as far as it is certain."""

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

from llms.arrays import BoolArray, FloatArray
from llms.texts import MAX_TEXT_CHARS
from retrievers.errors import StoreMismatchError, VectorError
from retrievers.importing.faiss_file import FileVectors
from retrievers.importing.pickled_documents import OldDocument

_EMBED_SIZE = 256
_ROWS_AT_ONCE = 10_000
_NUM_SAMPLES = 3
_SAME_COSINE = 0.99  # of a text embedded again, in whatever precision, with its vector; other texts rarely reach it
_UNIT_TOLERANCE = 1e-3


def look_at_vectors(vectors: FloatArray) -> tuple[BoolArray, bool]:
    """Return which vectors are finite, and whether all of those have length 1."""
    is_finite = np.ones(len(vectors), dtype=bool)
    is_unit = True
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        lengths = np.linalg.norm(vectors[start : start + _ROWS_AT_ONCE].astype(np.float64), axis=1)
        here = np.isfinite(lengths)
        is_finite[start : start + _ROWS_AT_ONCE] = here
        is_unit &= bool((np.abs(lengths[here] - 1) < _UNIT_TOLERANCE).all())
    return is_finite, is_unit


def pair_vectors(
    documents: Mapping[str, OldDocument],
    ids_by_position: Mapping[int, str],
    found: FileVectors,
    is_finite: BoolArray,
    skipped: dict[str, str],
) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the row of each document's vector where that is certain, and the rows it may have where not.

    A refused add leaves vectors without documents, and everything added later stands at a position too low; a removal
    from an IVF index renumbers documents but not vectors. Nothing in the files tells where that began.
    """
    near: dict[str, list[int]] = {id_: [] for id_ in documents}
    for position, id_ in ids_by_position.items():
        if id_ in near:
            near[id_] += _rows_of(position, found)
        elif id_ not in skipped:
            skipped[id_] = "the index knows it, but there is no document under this id"
    in_step = found.is_gapless and len(found.positions) == len(ids_by_position)
    rows: dict[str, int] = {}
    doubtful: dict[str, list[int]] = {}
    for id_, candidates in near.items():
        usable = [row for row in candidates if is_finite[row]]
        if not usable:
            skipped[id_] = "its vector holds NaN or infinity" if candidates else "the index holds no vector for it"
        elif in_step and len(candidates) == 1:
            rows[id_] = usable[0]
        else:
            doubtful[id_] = usable
    return rows, doubtful


def _rows_of(position: int, found: FileVectors) -> list[int]:
    """Return the rows that the index has under a number; more than one after adding to an IVF index it removed from."""
    if not 0 <= position < 2**63:  # what NumPy can look for
        return []
    first, last = (
        np.searchsorted(found.positions, position, side="left"),
        np.searchsorted(found.positions, position, side="right"),
    )
    return list(range(int(first), int(last)))


def check_embedding(
    embedding: Embeddings,
    vectors: FloatArray,
    certain: Mapping[str, tuple[OldDocument, int]],
    *,
    check_vectors: bool,
) -> None:
    """Refuse an embedding that cannot have made the vectors.

    Args:
        certain: documents and the rows of their vectors.
        check_vectors: compare some vectors with what the embedding gives for their texts, not only the dimension.

    Raises:
        StoreMismatchError: if the dimension differs, or no text gets its vector again.
    """
    readable = [pair for pair in certain.values() if pair[0].text.strip()]
    samples = heapq.nsmallest(_NUM_SAMPLES, readable, key=lambda pair: len(pair[0].text))
    new = _embed(embedding, [document.text for document, _ in samples] or ["dimension"])
    if new.shape[1] != vectors.shape[1]:
        msg = (
            f"the old store holds vectors of dimension {vectors.shape[1]}, this embedding gives {new.shape[1]}; "
            "use the model it was built with, or have its texts embedded again: reembed=True, or --reembed"
        )
        raise StoreMismatchError(msg)
    if not check_vectors or not samples:
        return
    best = float(max(_cosines(new, vectors[[row for _, row in samples]])))
    if best < _SAME_COSINE:
        msg = (
            f"this embedding gives other vectors for the old store's texts (best cosine of {len(samples)}: "
            f"{best:.2f}, expected 1); use the model it was built with, or have the texts embedded again: "
            "reembed=True, or --reembed. If the vectors were made from something else than the texts: "
            "check_vectors=False, or --no-check-vectors"
        )
        raise StoreMismatchError(msg)


def confirm_vectors(
    embedding: Embeddings,
    vectors: FloatArray,
    doubtful: Mapping[str, tuple[OldDocument, list[int]]],
    skipped: dict[str, str],
) -> dict[str, int]:
    """Return the rows of those documents whose text gives a vector that they may have.

    Args:
        doubtful: documents and the rows that their vectors may have.
        skipped: gets a reason for each of the others.
    """
    rows: dict[str, int] = {}
    entries = [entry for entry in doubtful.values() if len(entry[0].text) <= MAX_TEXT_CHARS]
    for start in range(0, len(entries), _EMBED_SIZE):
        batch = entries[start : start + _EMBED_SIZE]
        for (document, candidates), vector in zip(batch, _embed(embedding, [d.text for d, _ in batch]), strict=True):
            cosines = _cosines(vector[None], vectors[candidates])
            if max(cosines) >= _SAME_COSINE:
                rows[document.id] = candidates[int(np.argmax(cosines))]
    for id_ in doubtful:
        if id_ not in rows:
            skipped[id_] = (
                "index and documents are out of step and the vector at its position is not that of its text; "
                "it comes along when texts are embedded again: reembed=True, or --reembed"
            )
    return rows


def _embed(embedding: Embeddings, texts: Sequence[str]) -> FloatArray:
    array = np.asarray(embedding.embed_documents(list(texts)), dtype=np.float32)
    if array.ndim != 2 or len(array) != len(texts):
        msg = f"the embedding gave {array.shape} for {len(texts)} texts; expected ({len(texts)}, dimension)"
        raise VectorError(msg)
    return array


def _cosines(new: FloatArray, old: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(new, axis=1) * np.linalg.norm(old, axis=1)
    cosines: FloatArray = np.sum(new * old, axis=1) / np.maximum(lengths, 1e-12)
    return cosines
