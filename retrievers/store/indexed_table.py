"""A document table and the index in memory that follows it: own writes at once, those of others when they are seen."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from llms.arrays import FloatArray, IntArray
from retrievers.errors import StoreBusyError, StoreFolderError
from retrievers.store.ann import AnnIndex, AnnKind, Metric, build_ann, read_ann
from retrievers.store.arrays import is_among
from retrievers.store.document_table import DocumentTable, NewDocument, StoredVectors, Written
from retrievers.store.filters import Condition
from retrievers.store.generations import (
    Generation,
    has_generation,
    load_generation,
    remove_generations,
    save_generation,
)
from retrievers.store.metadata_columns import MetadataColumns
from retrievers.store.vector_index import Segment, Snapshot, VectorIndex

IndexKind = Literal["auto", "flat", "hnsw", "ivf"]
ProgressCallback = Callable[[int, int], object]
"""Called with vectors done and vectors to do."""

# A flat search over as many takes about as long as embedding the question; see docs/benchmarks/store.md.
_FLAT_UP_TO = 200_000
_SMALL_BASE, _FEW_DEAD = 2_048, 256  # so much may always wait to be folded in


class _Cancelled(Exception):  # noqa: N818  # no error: the work is not wanted any more
    pass


@dataclass(slots=True)
class _Seen:
    """How far the index in memory has followed the table."""

    row: int = 0
    tombstone: int = 0
    epoch: int = 0
    data_version: int = -1


class IndexedTable:
    """An index over the vectors of a document table, which a search can take at any moment.

    Args:
        table: the documents.
        metric: how vectors are compared.
        kind: which index; "auto" takes an approximate one only where comparing all would be slow.

    Attributes:
        problem: why no saved index was used, or none could be saved; empty if all is well.

    Raises:
        StoreDamagedError: if a vector is not what was written.
    """

    def __init__(self, table: DocumentTable, *, metric: Metric, kind: IndexKind) -> None:
        self.table = table
        self.database = table.database
        self.metric = metric
        self.kind = kind
        self.problem = ""
        self._seen = _Seen()
        self._index = VectorIndex(0)
        self._columns = MetadataColumns()
        self._columns_lock = threading.Lock()
        self._builder: threading.Thread | None = None
        self._is_stopping = False
        self._load()
        if self.problem and self._wanted_kind(self._index.snapshot) is not None:
            self._start_builder()

    @property
    def folder(self) -> Path | None:
        """Where the store lies."""
        return self.database.folder

    @property
    def dimension(self) -> int | None:
        """Length of every vector; None before the first."""
        return self._index.snapshot.base.vectors.shape[1] or None

    # --- searching

    def snapshot(self) -> Snapshot:
        """Return the vectors as they are now, with what other processes have written."""
        if not self.database.is_writer:
            self._follow()
        return self._index.snapshot

    def matching_rows(self, condition: Condition) -> IntArray:
        """Return the rows that match, ascending; rows that are gone may be among them."""
        with self._columns_lock:
            columns = self._columns
            rows, metadata = self.table.metadata_after(int(columns.rows[-1]) if len(columns.rows) else 0)
            if rows:
                columns.append(rows, metadata)
            if new := set(condition.fields()) - columns.fields:
                self._add_columns(new)
            return self._columns.rows[condition.matches(self._columns.columns())]

    def _add_columns(self, fields: set[str]) -> None:
        rows, metadata = self.table.metadata_after(0)
        if len(rows) != len(self._columns.rows):  # some are gone: begin anew with those that are there
            fields |= self._columns.fields
            self._columns = MetadataColumns()
            self._columns.append(rows, metadata)
        self._columns.add_fields(fields, metadata)

    # --- writing

    def replace(self, documents: Sequence[NewDocument]) -> None:
        """Store documents in place of those with their ids; durable when it returns."""
        with self.database.lock:
            self._become_writer()
            self._take(self.table.replace(documents), np.stack([new.vector for new in documents]))

    def delete(self, ids: Sequence[str] | None) -> None:
        """Remove documents, all for None; durable when it returns."""
        with self.database.lock:
            self._become_writer()
            self._take(self.table.delete(ids))

    def _take(self, written: Written, vectors: FloatArray | None = None) -> None:
        """Let the index follow what was written."""
        self._index.remove(written.removed)
        if vectors is not None:
            if self.dimension is None:
                self._index = VectorIndex(vectors.shape[1])
            self._index.add(written.added, vectors)
            self._seen.row = int(written.added[-1])
        self._seen.tombstone = written.last_tombstone
        self._fold_if_due()

    def compact(self, report: ProgressCallback = lambda _done, _total: None) -> None:
        """Build the index anew over what is there, save it, and give the space of what is gone back."""
        self._stop_builder()
        with self.database.lock:
            self._become_writer()
            self._build(report)
            self.database.vacuum()

    def close(self) -> None:
        """End work in the background and release the files."""
        self._stop_builder()
        self.database.close()

    def _become_writer(self) -> None:
        if self.database.become_writer():
            self._follow()

    def _fold_if_due(self) -> None:
        """Fold what changed into a new base, where it is much; what was written stays written if that fails."""
        snapshot = self._index.snapshot
        num_base, num_recent, num_dead = len(snapshot.base.rows), len(snapshot.recent.rows), len(snapshot.dead)
        if num_recent <= max(_SMALL_BASE, num_base // 8) and num_dead <= max(_FEW_DEAD, num_base // 64):
            return
        if self._wanted_kind(snapshot) is None and snapshot.base.ann is None:
            self._quietly(lambda: self._take_base(snapshot, snapshot.alive()))
        elif snapshot.base.ann is None or max(num_recent, num_dead) > num_base // 8:
            self._start_builder()

    def _wanted_kind(self, snapshot: Snapshot) -> AnnKind | None:
        if self.kind == "auto":
            return "hnsw" if snapshot.num_vectors - len(snapshot.dead) > _FLAT_UP_TO else None
        return None if self.kind == "flat" else self.kind

    def _start_builder(self) -> None:
        """Build the approximate index beside everything else; searches compare all vectors until it is there."""
        if self._builder is None or not self._builder.is_alive():
            self._builder = threading.Thread(
                target=self._quietly, args=(self._build,), name="tunechain-index", daemon=True
            )
            self._builder.start()

    def _stop_builder(self) -> None:
        self._is_stopping = True
        if self._builder is not None:
            self._builder.join()
        self._is_stopping = False

    def _quietly(self, work: Callable[[], object]) -> None:
        """Do what only makes searches faster: where it fails, they go on as before."""
        try:
            work()
        except _Cancelled:
            return
        except (StoreFolderError, OSError) as error:
            self.problem = str(error)

    def _build(self, report: ProgressCallback = lambda _done, _total: None) -> None:
        """Make a new base of what is alive now, with the index that is wanted."""
        snapshot = self._index.snapshot
        alive, kind = snapshot.alive(), self._wanted_kind(snapshot)
        if kind is not None and len(alive.rows):

            def check(done: int) -> None:
                if self._is_stopping:
                    raise _Cancelled
                report(done, len(alive.rows))

            ann = build_ann(kind, alive.vectors, self.metric, report=check)
            alive = Segment(alive.rows, ann.vectors, ann)
        self._take_base(snapshot, alive)

    def _take_base(self, snapshot: Snapshot, base: Segment) -> None:
        """Take a base made of `snapshot`; save it if it holds an approximate index, and forget what it left out."""
        with self.database.lock:
            was_writer = self.database.is_writer
            is_to_be_saved = base.ann is not None or len(snapshot.dead) > 0 or self._has_saved_index()
            if is_to_be_saved:
                with contextlib.suppress(StoreBusyError):  # somebody else writes, and will save an index of its own
                    self._become_writer()
            if self._index.snapshot.base is snapshot.base:  # else another one came in between
                if is_to_be_saved and self.database.is_writer:
                    self._save(snapshot, base.ann)
                self._index.fold(base)
            if not was_writer and self.database.is_writer:
                self.database.stop_writing()

    def _save(self, snapshot: Snapshot, ann: AnnIndex | None) -> None:
        tombstone = self.table.last_tombstone_of(snapshot.dead)
        if self.folder is not None and ann is not None:
            last = [int(segment.rows[-1]) for segment in (snapshot.base, snapshot.recent) if len(segment.rows)]
            generation = Generation(
                kind=ann.kind,
                metric=self.metric,
                num_vectors=len(ann.vectors),
                last_row=max(last),
                last_tombstone=tombstone,
            )
            save_generation(self.folder, generation, ann.to_bytes())
        elif self.folder is not None:
            remove_generations(self.folder)
        self._seen.epoch = self.table.forget_removed(tombstone)  # tells other processes to load anew
        self.problem = ""

    def _has_saved_index(self) -> bool:
        return self.folder is not None and has_generation(self.folder)

    # --- loading and following

    def _load(self) -> None:
        self._seen.data_version = self.database.data_version()
        stored = self.table.load_vectors()
        index = VectorIndex(stored.vectors.shape[1])
        index.load(*self._with_saved_index(stored))
        self._index = index
        self._columns = MetadataColumns()
        self._seen.row = int(stored.rows[-1]) if len(stored.rows) else 0
        self._seen.tombstone, self._seen.epoch = stored.last_tombstone, stored.epoch

    def _with_saved_index(self, stored: StoredVectors) -> tuple[Segment, Segment, IntArray]:
        everything = Segment(stored.rows, stored.vectors)
        nothing = everything.take(np.zeros(len(stored.rows), dtype=bool))
        loaded = load_generation(self.folder) if self.folder is not None else None
        self.problem = loaded if isinstance(loaded, str) else ""
        if loaded is None or isinstance(loaded, str) or self.kind == "flat":
            return everything, nothing, stored.removed
        generation, content = loaded
        is_base = stored.rows <= generation.last_row
        is_base &= ~is_among(self.table.rows_removed_up_to(generation.last_tombstone), stored.rows)
        if generation.metric != self.metric or int(is_base.sum()) != generation.num_vectors:
            self.problem = "the saved index does not belong to these documents"
            return everything, nothing, stored.removed
        base = everything.take(is_base)
        ann = read_ann(generation.kind, content, base.vectors, self.metric)
        recent = everything.take(stored.rows > generation.last_row)
        return Segment(base.rows, ann.vectors, ann), recent, stored.removed

    def _follow(self) -> None:
        """Take over what others have written since."""
        version = self.database.data_version()
        if version == self._seen.data_version:
            return
        with self.database.lock:
            self._seen.data_version = version
            new = self.table.load_vectors(after_row=self._seen.row, after_tombstone=self._seen.tombstone)
            if new.epoch != self._seen.epoch or self.dimension is None:
                self._load()
                return
            self._index.remove(new.removed)
            if len(new.rows):
                self._index.add(new.rows, new.vectors)
                self._seen.row = int(new.rows[-1])
            self._seen.tombstone = new.last_tombstone
            snapshot = self._index.snapshot
            if snapshot.base.ann is None and len(snapshot.recent.rows) > max(_SMALL_BASE, len(snapshot.base.rows) // 8):
                self._index.fold(snapshot.alive())
