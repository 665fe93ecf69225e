"""Indexing of files: an index that holds exactly them; only what changed is read and embedded again."""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from langchain_core.documents import Document

from apps.ledger import FileEntry, FileLedger
from retrievers import (
    FaissStore,
    FoundFiles,
    ParserProcess,
    PassedOverFile,
    SourceFile,
    find_files,
    is_plain_text,
    parse_file,
    read_bytes,
    split_documents,
)
from retrievers.errors import DocumentError, NoTextError

# to be raised when the same bytes give other chunks than before; a test notices
_RULES = "4"
_PARSERS = ("lxml", "openpyxl", "pypdf", "python-docx", "python-pptx")
_BATCH_CHUNKS = 256  # one transaction and one call of the encoder; what a kill costs at most
_BATCH_FILES = 256
_LOOK_UP = 1_000

T = TypeVar("T")
Progress = Callable[[float, int], None]
"""Called with the number of files done so far, the current one in part, and the number of all."""


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How many files were added, changed, no longer there, or left as they were, and which are not in the index.

    One that could not be read failed, and what the index held of it stays. One without any text, or of a kind that
    is not read, is passed over, and nothing of it is in the index.
    """

    added: int
    updated: int
    removed: int
    unchanged: int
    failed: list[FailedFile] = field(default_factory=list)
    passed_over: list[PassedOverFile] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many files there are; each of them is counted once below."""
        return self.added + self.updated + self.unchanged + len(self.failed) + len(self.passed_over)


def refresh_index(
    store: FaissStore,
    paths: Sequence[Path],
    *,
    on_progress: Progress = lambda _done, _total: None,
    parser: ParserProcess | None = None,
) -> IndexReport:
    """Make the store hold exactly the documents under `paths`, cut into chunks.

    Files whose content is known are not parsed, and of a changed one only the chunks that changed are embedded.
    Whole batches of a few hundred chunks are stored, new ones before old ones are removed: a kill at any moment
    loses at most one batch of work, and the next run puts right what it left. A file that cannot be read is
    reported, and what the store held of it stays; a file that is passed over is reported, too.

    Files of formats that hold more than their text, such as HTML, PDF and DOCX, are parsed in a process of its own:
    one that takes too long or too much memory cannot be read, and the others are.

    Args:
        parser: parses them; one is made for the call if there is none.

    Raises:
        DocumentError: if the files cannot be listed, since then nothing may be taken for removed.
    """
    found = find_files(paths)
    with FileLedger(store.folder) as ledger:
        if not _is_true(ledger, store):
            ledger.fill(_ids_by_source(store))
        with contextlib.ExitStack() as stack:
            parser = parser or stack.enter_context(ParserProcess())
            return _Refresh(store, ledger, parser).run(found, on_progress)


def make_store_hold(store: FaissStore, documents: Sequence[Document]) -> list[Document]:
    """Make the store hold exactly these documents, by their ids, and return those written or removed.

    New and changed ones are stored before old ones are removed: a kill in between leaves a store that the next
    call puts right.
    """
    wanted = {document.id or "": document for document in documents}
    stored = {document.id or "": document for document in store.all_documents()}
    # text and metadata are compared, too: a new title changes the text of chunks whose ids stay
    new = [document for id_, document in wanted.items() if not _is_same(stored.get(id_), document)]
    old = [document for id_, document in stored.items() if id_ not in wanted]
    if new:
        store.add_documents(new, ids=[document.id or "" for document in new])
    if old:
        store.delete([document.id or "" for document in old])
    return new + old


@dataclass(frozen=True, slots=True)
class _Change:
    """What one file asks of the store."""

    entry: FileEntry
    new: list[Document]
    old_ids: tuple[str, ...]


class _Refresh:
    """One run over the files: gathers changes and stores them batch by batch."""

    def __init__(self, store: FaissStore, ledger: FileLedger, parser: ParserProcess) -> None:
        self._store = store
        self._ledger = ledger
        self._parser = parser
        self._known = ledger.fingerprints()
        self._rules = " ".join((_RULES, *(version(name) for name in _PARSERS))).encode()
        self._waiting: list[_Change] = []
        self._counts = dict.fromkeys(("added", "updated", "removed", "unchanged"), 0)
        self._failed: list[FailedFile] = []
        self._without_text: list[PassedOverFile] = []

    def run(self, found: FoundFiles, on_progress: Progress) -> IndexReport:
        """Bring the store up to date and return what was done."""
        files, done = found.files, 0

        def report(stored_share: float) -> None:
            # of files read already, those that wait to be stored count by the share of their chunks in the store
            on_progress(done - (1 - stored_share) * len(self._waiting), len(files))

        for file in files:
            self._read(file)
            done += 1
            num_new = sum(len(change.new) for change in self._waiting)
            if num_new >= _BATCH_CHUNKS or len(self._waiting) >= _BATCH_FILES:
                self._store_waiting(report)
            report(0.0)
        self._store_waiting(report)
        self._remove_vanished({file.source for file in files})
        report(1.0)
        return IndexReport(**self._counts, failed=self._failed, passed_over=[*found.passed_over, *self._without_text])

    def _read(self, file: SourceFile) -> None:
        """Put what a file asks for into the batch; one that is as it was asks for nothing."""
        try:
            raw = read_bytes(file.path)
            fingerprint = hashlib.sha256(self._rules + b"\x00" + raw).hexdigest()
            # a file without text is read again, since only its reader knows what to do about it
            if self._known.get(file.source) == fingerprint and self._ledger.ids(file.source):
                self._counts["unchanged"] += 1
                return
            chunks = split_documents(self._parse(raw, file))
        except DocumentError as error:
            self._failed.append(FailedFile(file.source, str(error)))
            return
        stored = {document.id: document for document in self._look_up(chunk.id or "" for chunk in chunks)}
        entry = FileEntry(file.source, fingerprint, tuple(chunk.id or "" for chunk in chunks))
        # text and metadata are compared, too: a new title changes the text of chunks whose ids stay
        new = [chunk for chunk in chunks if not _is_same(stored.get(chunk.id), chunk)]
        wanted = set(entry.ids)
        old_ids = tuple(id_ for id_ in self._ledger.ids(file.source) if id_ not in wanted)
        self._waiting.append(_Change(entry, new, old_ids))

    def _parse(self, raw: bytes, file: SourceFile) -> list[Document]:
        """Return the documents of a file; of one without text there are none, and it is noted why."""
        # text and rows are read in a time that grows with their length alone
        parse = parse_file if is_plain_text(file.path) else self._parser.parse
        try:
            return parse(raw, file.path, source=file.source)
        except NoTextError as error:
            reason = str(error).removeprefix(f"{file.path} ")
            self._without_text.append(PassedOverFile(file.source, reason))
            return []

    def _store_waiting(self, report: Callable[[float], None]) -> None:
        """Store the batch, new chunks before old ones go, and only then note that its files are done."""
        changes = self._waiting
        if not changes:
            return
        self._ledger.mark_unfinished(change.entry.source for change in changes)
        new = [chunk for change in changes for chunk in change.new]
        for start in range(0, len(new), _BATCH_CHUNKS):
            batch = new[start : start + _BATCH_CHUNKS]
            self._store.add_documents(batch, ids=[chunk.id or "" for chunk in batch])
            report(min(1.0, (start + _BATCH_CHUNKS) / len(new)))
        if old := [id_ for change in changes for id_ in change.old_ids]:
            self._store.delete(old)
        for change in changes:
            self._count(change)
        self._ledger.write(change.entry for change in changes)
        self._waiting.clear()

    def _count(self, change: _Change) -> None:
        had_chunks = bool(self._ledger.ids(change.entry.source))
        if not change.entry.ids:
            self._counts["removed"] += had_chunks
        elif not had_chunks:
            self._counts["added"] += 1
        else:
            self._counts["updated" if change.new or change.old_ids else "unchanged"] += 1

    def _remove_vanished(self, sources: set[str]) -> None:
        gone = [source for source in self._known if source not in sources]
        for batch in _batches(gone, _BATCH_FILES):
            ids = [self._ledger.ids(source) for source in batch]
            self._ledger.mark_unfinished(batch)
            if any(ids):
                self._store.delete([id_ for entry in ids for id_ in entry])
            self._ledger.remove(batch)
            self._counts["removed"] += sum(map(bool, ids))

    def _look_up(self, ids: Iterable[str]) -> Iterator[Document]:
        for batch in _batches(ids, _LOOK_UP):
            yield from self._store.get_by_ids(batch)


def _is_true(ledger: FileLedger, store: FaissStore) -> bool:
    """Return whether the store holds exactly the chunks that the ledger knows: all of them, and no more."""
    if ledger.num_ids() != len(store):
        return False
    ids = (id_ for source in ledger.fingerprints() for id_ in ledger.ids(source))
    return all(len(store.get_by_ids(batch)) == len(batch) for batch in _batches(ids, _LOOK_UP))


def _ids_by_source(store: FaissStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for document in store.all_documents():
        found.setdefault(str(document.metadata.get("source", "")), []).append(document.id or "")
    return found


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _is_same(stored: Document | None, document: Document) -> bool:
    if stored is None:
        return False
    return (stored.page_content, stored.metadata) == (document.page_content, document.metadata)
