"""Hostile documents: each is read or refused within limits, and the good ones beside it are indexed.

Run in a process of its own, since memory is measured: `python -m tests.serving.documents FOLDER`.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.indexing import refresh_index
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, ParserProcess, is_plain_text, parse_file, read_bytes, split_documents
from retrievers.errors import DocumentError
from tests.serving.figures import Figure, Part, at_most, none_of, plain
from tests.serving.hostile_documents import hostile_documents
from tests.serving.served import children

__all__ = ["run_documents"]

_LIMIT_S = 20.0
_LIMIT_MB = 512
_NUM_GOOD = 20
_WARM = b"<h1>Returns</h1><p>Seven days.</p>"
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Reading:
    """What became of one document."""

    name: str
    is_read: bool
    seconds: float
    megabytes: float | None  # None where the process that read it was ended at a limit


def run_documents(folder: Path, *, count: int, seed: int = 0) -> Part:
    """Write so many hostile documents and some good ones into a new folder, and read and index them."""
    documents = folder / "documents"
    documents.mkdir(parents=True)
    for name, raw in hostile_documents(count, seed=seed):
        (documents / name).write_bytes(raw)
    for number in range(_NUM_GOOD):
        (documents / f"good-{number}.{('md', 'html', 'csv', 'txt')[number % 4]}").write_text(
            f"text\nIt takes {number} days.\n"
        )
    command = [sys.executable, "-m", "tests.serving.documents", str(folder)]
    answer = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=False)
    outcome = json.loads(answer.stdout) if answer.returncode == 0 else {"readings": [], "indexed": [], "failed": 0}
    readings = [_Reading(**values) for values in outcome["readings"]]
    good = sum(name.startswith("good-") for name in outcome["indexed"])
    largest = max((reading.megabytes or 0.0 for reading in readings), default=0.0)
    hostile = [reading for reading in readings if not reading.name.startswith("good-")]
    figures = (
        plain("documents", f"{len(hostile):,} hostile, {_NUM_GOOD} good"),
        none_of("of them that ended the program that reads them", count + _NUM_GOOD - len(readings)),
        plain("hostile ones read, and refused", f"{sum(one.is_read for one in hostile):,}, {_num_refused(hostile):,}"),
        plain("of them ended at a limit of time or memory", f"{sum(one.megabytes is None for one in hostile):,}"),
        at_most("seconds for one, the longest", max((one.seconds for one in readings), default=0.0), _LIMIT_S, " s"),
        Figure(
            name="memory for one, the largest",
            value=f"{largest:,.0f} MB",
            target=f"<= {_LIMIT_MB} MB",
            is_met=largest <= _LIMIT_MB,
        ),
        none_of("good ones missing in the index of the same folder", _NUM_GOOD - good),
    )
    about = (
        "Nesting, repetition, bombs, truncated and damaged files as Markdown, text, HTML, CSV, JSONL, DOCX, XLSX, PPTX "
        "and PDF. Memory is what a document adds to the process that reads it; one over the limit is refused."
    )
    worst = sorted(readings, key=lambda one: one.seconds)[-_MAX_SHOWN:]
    notes = (f"The slowest: {', '.join(f'{one.name} {one.seconds:.1f} s' for one in worst)}.",)
    return Part(title="Hostile documents", about=about, figures=figures, notes=notes)


def _num_refused(readings: list[_Reading]) -> int:
    return sum(not one.is_read for one in readings)


# --- in the process that reads


def main(folder: Path) -> None:
    documents = folder / "documents"
    with ParserProcess() as parser:
        readings = [asdict(_read(path, parser)) for path in sorted(documents.iterdir())]
    with FaissStore(folder / "store", embedding=HashedEmbeddings(dimension=8)) as store:
        report = refresh_index(store, [documents])
        indexed = sorted({document.metadata["source"] for document in store.all_documents()})
    sys.stdout.write(json.dumps({"readings": readings, "indexed": indexed, "failed": len(report.failed)}))


def _read(path: Path, parser: ParserProcess) -> _Reading:
    parser.parse(_WARM, Path("warm.html"), source="warm.html")  # so that the process is there, and prepared
    watched = [os.getpid(), *children(os.getpid())]
    with _peaks(watched) as peaks:
        started, is_read = time.perf_counter(), True
        try:
            raw = read_bytes(path)
            if is_plain_text(path):
                split_documents(parse_file(raw, path, source=path.name))
            else:
                split_documents(parser.parse(raw, path, source=path.name))
        except DocumentError:
            is_read = False
        seconds = time.perf_counter() - started
    known = [peak for peak in peaks if peak is not None]
    return _Reading(path.name, is_read, seconds, max(known) if len(known) == len(peaks) else None)


@contextlib.contextmanager
def _peaks(pids: list[int]) -> Iterator[list[float | None]]:
    """Give a list that holds at the end how many megabytes each process needed more than before; None if it ended."""
    before = {pid: _status_mb(pid, "VmRSS") or 0.0 for pid in pids}
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")  # the peak begins anew
    found: list[float | None] = []
    yield found
    for pid in pids:
        peak = _status_mb(pid, "VmHWM")
        found.append(None if peak is None else max(0.0, peak - before[pid]))


def _status_mb(pid: int, name: str) -> float | None:
    """Return a line of a process's status in megabytes; None for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:")), None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
