"""Import of a folder that langchain-community's FAISS store saved, without unpickling it."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from llms.arrays import FloatArray, IntArray
from llms.errors import InputTextError
from retrievers.importing.faiss_file import read_faiss_file
from retrievers.importing.pairing import check_embedding, confirm_vectors, look_at_vectors, pair_vectors
from retrievers.importing.pickled_documents import OldDocument, read_documents_pickle
from retrievers.store.indexed_table import ProgressCallback

if TYPE_CHECKING:
    from retrievers.faiss_store import FaissStore


_BATCH_SIZE = 500  # documents per transaction
_MAX_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of an old store.

    Attributes:
        documents: how many were stored.
        skipped: (id, reason) of each that was not.
        notes: what may surprise in searches of the new store.
    """

    documents: int
    skipped: list[tuple[str, str]]
    notes: list[str]

    def warn(self) -> None:
        """Give a Python warning about what was skipped and what may surprise; none if all went as it should."""
        messages = list(self.notes)
        if self.skipped:
            shown = "; ".join(f"{id_!r}: {reason}" for id_, reason in self.skipped[:_MAX_SHOWN])
            more = ", ..." if len(self.skipped) > _MAX_SHOWN else ""
            messages.append(
                f"{self.documents:,} documents were imported, {len(self.skipped):,} skipped ({shown}{more}); "
                "`skipped` of the report names them all"
            )
        for message in messages:
            warnings.warn(message, stacklevel=2)


@dataclass(frozen=True, slots=True)
class OldStore:
    """The documents of an old store that are certain, ready to be stored.

    Attributes:
        documents: in the order in which they were added.
        rows: the row of `vectors` of each document.
        vectors: None if the texts are to be embedded again.
        skipped: (id, reason) of the documents that are not certain.
        index_metric: how the old index compared, if that can be told.
        is_unit: whether all vectors have length 1, so that every metric puts them in the same order.
    """

    documents: list[OldDocument]
    rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    vectors: FloatArray | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    index_metric: str | None = None
    is_unit: bool = True

    def write_to(self, store: "FaissStore", report: ProgressCallback = lambda _done, _total: None) -> ImportReport:
        """Store the documents under their ids and return what became of them.

        Batches of 500 are one transaction each; what was stored before an interruption is stored again, without
        doubles, when the import is repeated.
        """
        skipped = list(self.skipped)
        for start in range(0, len(self.documents), _BATCH_SIZE):
            batch = self.documents[start : start + _BATCH_SIZE]
            ids, texts = [document.id for document in batch], [document.text for document in batch]
            metadata = [document.metadata for document in batch]
            if self.vectors is not None:
                store.add_vectors(texts, self.vectors[self.rows[start : start + _BATCH_SIZE]], metadata, ids=ids)
            else:
                skipped += _embed_and_store(store, batch)
            report(start + len(batch), len(self.documents))
        num_stored = len(self.documents) - (len(skipped) - len(self.skipped))
        return ImportReport(documents=num_stored, skipped=skipped, notes=list(self._notes(store.metric)))

    def _notes(self, metric: str) -> Iterator[str]:
        if self.vectors is None or self.is_unit or metric == self.index_metric:
            return
        if self.index_metric is None:
            yield f"the old index compared by a measure that this store does not have; it compares by {metric}"
        else:
            yield (
                f"the vectors are not of length 1 and the old index compared them by {self.index_metric}, this store "
                f"compares by {metric}: the order of results differs; metric={self.index_metric!r} keeps it"
            )


def import_langchain_faiss(
    store: "FaissStore",
    old_folder: str | Path,
    *,
    index_name: str = "index",
    reembed: bool = False,
    check_vectors: bool = True,
    report: ProgressCallback = lambda _done, _total: None,
) -> ImportReport:
    """Store what lies in a folder of langchain-community's FAISS and return what was stored and what skipped.

    Everything is read and checked before the first document is written. Ids are kept and vectors taken over, so
    nothing is embedded but a few texts that show whether this embedding made the vectors. In a store whose index
    and documents are out of step, each text is embedded to tell whether the vector at its position is its own; a
    document whose vector is not is skipped. Doing it twice changes nothing.

    Args:
        store: where to; opened with the embedding that made the old vectors.
        old_folder: holds `index.faiss` and `index.pkl`, or others by `index_name`.
        reembed: embed every text anew instead of taking over vectors, whatever the index is; it need not be there.
        check_vectors: False for vectors that were made from something else than the texts beside them.
        report: called with the number of documents done so far and the number of all.

    Raises:
        OldStoreError: if the folder cannot be read; as `UnsafePickleError` if its pickle asks for anything but
            documents, which is never run.
        StoreMismatchError: if the embedding has another dimension than the vectors, or did not make them.
    """
    old = read_langchain_faiss(
        old_folder, embedding=store.embedding, index_name=index_name, reembed=reembed, check_vectors=check_vectors
    )
    return old.write_to(store, report)


def read_langchain_faiss(
    old_folder: str | Path,
    *,
    embedding: Embeddings,
    index_name: str = "index",
    reembed: bool = False,
    check_vectors: bool = True,
) -> OldStore:
    """Return what a folder of langchain-community's FAISS holds; see `import_langchain_faiss` for everything else.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> read_langchain_faiss("no such folder", embedding=HashedEmbeddings())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        retrievers.errors.OldStoreError: no such folder/index.pkl cannot be read: No such file or directory...
    """
    folder = Path(old_folder)
    documents, ids_by_position, skipped = read_documents_pickle(folder / f"{index_name}.pkl")
    if reembed:
        return OldStore(list(documents.values()), skipped=list(skipped.items()))
    found = read_faiss_file(folder / f"{index_name}.faiss")
    is_finite, is_unit = look_at_vectors(found.vectors)
    rows, doubtful = pair_vectors(documents, ids_by_position, found, is_finite, skipped)
    certain = {id_: (documents[id_], row) for id_, row in rows.items()}
    check_embedding(embedding, found.vectors, certain, check_vectors=check_vectors)
    in_doubt = {id_: (documents[id_], candidates) for id_, candidates in doubtful.items()}
    rows |= confirm_vectors(embedding, found.vectors, in_doubt, skipped)
    kept = [document for id_, document in documents.items() if id_ in rows]
    return OldStore(
        documents=kept,
        rows=np.array([rows[document.id] for document in kept], dtype=np.int64),
        vectors=found.vectors,
        skipped=list(skipped.items()),
        index_metric=found.metric,
        is_unit=is_unit,
    )


def _embed_and_store(store: "FaissStore", batch: Sequence[OldDocument]) -> list[tuple[str, str]]:
    """Store documents by their texts; return those whose text the embedding does not take, with its reason."""
    try:
        store.add_texts(
            [document.text for document in batch],
            [document.metadata for document in batch],
            ids=[document.id for document in batch],
        )
    except InputTextError as error:
        if len(batch) == 1:
            return [(batch[0].id, str(error))]
        return [skipped for document in batch for skipped in _embed_and_store(store, [document])]
    return []
