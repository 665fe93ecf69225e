"""Kills, damaged files, a full disk and many processes at once against `FaissStore`, counted.

Every round runs in a process forked from this one, which itself never searches: what is killed leaves nothing behind.
"""

import dataclasses
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llms.errors import TuneChainError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import StoreBusyError, StoreFolderError
from retrievers.store.keyword_index import keyword_terms
from tests.reliability.processes import answer_of, in_child, in_children, start_child

KINDS = ("add", "delete", "snapshot", "compaction")
_DIMENSION = 16
_MAX_DOCUMENTS = 3_000
_MIN_SEARCHES = 20  # of each reader, however short the time
State = dict[str, str]  # id -> text


def load_for_children() -> None:
    """Load once what every child needs; loading starts no thread, which a fork would lose."""
    importlib.import_module("faiss")
    list(keyword_terms("退货"))


# --- kills


@dataclasses.dataclass
class KillReport:
    """What was counted."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    slowest_reopening_s: float = 0.0


def run_kills(folder: Path, kind: str, *, count: int, seed: int) -> KillReport:
    """Kill a writer `count` times and compare what is there with what it was told, or with one write more."""
    random_ = random.Random(f"{seed}-{kind}")
    report, state = KillReport(), {}
    for number in range(count):
        if len(state) > _MAX_DOCUMENTS:
            shutil.rmtree(folder)
            state = {}
        allowed, acknowledged = _killed_writer(folder, kind, state, random_, seed=seed * 1_000_003 + number)
        found = in_child(lambda: _read_back(folder))
        report.kills += 1
        report.acknowledged += acknowledged
        report.duplicates += found["duplicates"]
        report.slowest_reopening_s = max(report.slowest_reopening_s, found["seconds"])
        state = found["state"]
        if state not in allowed:
            report.lost += 1
    return report


def _killed_writer(
    folder: Path, kind: str, state: State, random_: random.Random, *, seed: int
) -> tuple[list[State], int]:
    """Return the states that may be there after a kill, and how many writes were acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _write_for_ever(folder, kind, dict(state), writing, random.Random(seed))
        finally:
            os._exit(1)
    os.close(writing)
    lines = os.fdopen(reading, "rb")
    first = [lines.readline() for _ in range(random_.randint(1, 7))]  # however slow the machine, it has begun to write
    time.sleep(random_.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    entries = [json.loads(line) for line in [*first, *lines] if line.endswith(b"\n")]
    lines.close()
    before = dict(state)
    begun: dict[str, Any] | None = None
    acknowledged = 0
    for entry in entries:
        if "done" in entry:
            before, begun, acknowledged = _after(before, begun or {}), None, acknowledged + 1
        else:
            begun = entry
    return [before, _after(before, begun)] if begun else [before], acknowledged


def _after(state: State, write: dict[str, Any]) -> State:
    kept = {id_: text for id_, text in state.items() if id_ not in write.get("delete", [])}
    return kept | write.get("add", {})


def _write_for_ever(folder: Path, kind: str, state: State, out: int, random_: random.Random) -> None:
    store = _open(folder, "hnsw" if kind == "snapshot" else "flat")
    for number in range(10**9):
        write = _next_write(kind, number, state, random_)
        os.write(out, json.dumps(write).encode() + b"\n")
        if "add" in write:
            store.add_texts(list(write["add"].values()), ids=list(write["add"]))
        if "delete" in write:
            store.delete(write["delete"])
        if "compact" in write:
            store.compact()
        state = _after(state, write)
        os.write(out, b'{"done": true}\n')


def _next_write(kind: str, number: int, state: State, random_: random.Random) -> dict[str, Any]:
    if kind in ("snapshot", "compaction") and number % 3 == 2:
        return {"compact": True}
    if state and (kind == "delete" or (kind == "compaction" and number % 3 == 1)) and random_.random() < 0.7:
        return {"delete": random_.sample(sorted(state), min(len(state), random_.randint(1, 8)))}
    ids = [f"d{random_.randint(0, 2 * _MAX_DOCUMENTS)}" for _ in range(random_.choice([1, 1, 3, 40]))]
    return {"add": {id_: f"text of {id_} version {random_.randint(0, 10**6)}" for id_ in ids}}


def _read_back(folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    store = _open(folder)
    seconds = time.perf_counter() - started
    documents = store.all_documents()
    state = {document.id or "": document.page_content for document in documents}
    found = [document.id for document in store.similarity_search("text", k=10**6)]
    words = {document.id for document, _ in store.keyword_search("text", k=10**6)}
    if len(documents) != len(store) or set(found) != set(state) or words != set(state):
        state = {"": "the indexes do not hold what the store holds"}
    store.close()
    duplicates = len(documents) - len(state) + len(found) - len(set(found)) if "" not in state else 0
    return {"state": state, "seconds": seconds, "duplicates": duplicates}


# --- damage


def run_damage(folder: Path, *, truncations: int, flips: int, seed: int) -> Iterator[tuple[str, str, Counter[str]]]:
    """Damage one file at a time and count what opening, or else the answers, made of it."""
    closed, killed = folder / "closed", folder / "killed"
    expected = in_child(lambda: _fill_for_damage(closed))
    in_child(lambda: _fill_and_stay_open(closed, killed))
    untouched = killed.with_name("untouched")  # reading it ends its log
    shutil.copytree(killed, untouched)
    expected_killed = in_child(lambda: _answers(untouched))
    random_ = random.Random(seed)
    for source, right in ((closed, expected), (killed, expected_killed)):
        names = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
        for name in names:
            if (source / name).stat().st_size == 0 or name.name.endswith("-shm"):
                continue  # shared memory is made anew at every opening
            for damage, count in (("truncations", truncations), ("flipped bits", flips)):
                counts: Counter[str] = Counter()
                for _ in range(count):
                    copy = folder / "copy"
                    shutil.rmtree(copy, ignore_errors=True)
                    shutil.copytree(source, copy)
                    _damage(copy / name, damage, random_)
                    counts[in_child(lambda copy=copy, right=right: _outcome(copy, right))] += 1
                yield f"{source.name}/{name.as_posix()}", damage, counts


def _damage(path: Path, damage: str, random_: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if damage == "truncations":
        path.write_bytes(content[: random_.randrange(len(content))])
        return
    content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
    path.write_bytes(content)


def _fill_for_damage(folder: Path) -> list[Any]:
    store = _open(folder, "hnsw")
    for start in range(0, 160, 20):
        ids = [f"d{index}" for index in range(start, start + 20)]
        metadata = [{"place": index, "even": index % 2 == 0} for index in range(start, start + 20)]
        store.add_texts([f"text of {id_} about word{len(id_)} 退货 number{id_}" for id_ in ids], metadata, ids=ids)
    store.compact()
    store.delete([f"d{index}" for index in range(0, 160, 13)])
    store.add_texts([f"later text {index}" for index in range(20)], ids=[f"l{index}" for index in range(20)])
    store.close()
    return _answers(folder)


def _fill_and_stay_open(closed: Path, killed: Path) -> None:
    """Copy a store in the middle of its work, as a kill leaves it: the newest writes stand in the log only."""
    work = killed.with_name("work")
    shutil.copytree(closed, work)
    store = _open(work)
    for index in range(30):
        store.add_texts([f"newest text {index}"], ids=[f"n{index}"])
    store.delete(["l3"])
    shutil.copytree(work, killed)
    store.close()


def _answers(folder: Path) -> list[Any]:
    with _open(folder) as store:
        documents = sorted(
            (document.id, document.page_content, document.metadata) for document in store.all_documents()
        )
        answers: list[Any] = [documents, len(store)]
        for query in ("text of d17", "later 3", "newest text 7", "退货"):
            # all of them, so that an approximate index must give the same as none
            found = sorted(
                (document.id, round(score, 4)) for document, score in store.similarity_search_with_score(query, k=9999)
            )
            words = sorted((document.id, round(score, 4)) for document, score in store.keyword_search(query, k=9999))
            answers += [found, words]
        answers.append(
            sorted(document.id for document in store.similarity_search("text", k=9999, filter={"even": True}))
        )
        answers.append([document.page_content for document in store.get_by_ids(["d1", "d13", "l5", "n5", "l3"])])
        return json.loads(json.dumps(answers))


def _outcome(folder: Path, right: list[Any]) -> str:
    try:
        with _open(folder) as store:
            problem = store.info().problem
        answers = _answers(folder)
    except TuneChainError:
        return "named"
    if answers != right:
        return "wrong"
    return "rebuilt" if problem else "harmless"


# --- a full disk


def run_full_disk(folder: Path, *, num_limits: int = 40) -> Counter[str]:
    """Let writes fail at many places, and count what became of the store."""
    counts: Counter[str] = Counter()
    for number in range(num_limits):
        store_folder = folder / str(number)
        in_child(lambda store_folder=store_folder: _fill_for_full(store_folder))
        size = (store_folder / "store.sqlite").stat().st_size
        limit = int(size * (0.2 + 2.2 * number / num_limits))
        counts[in_child(lambda store_folder=store_folder, limit=limit: _write_until_full(store_folder, limit))] += 1
        before = json.loads((store_folder.with_suffix(".json")).read_text("utf-8"))
        after = in_child(lambda store_folder=store_folder: _read_back(store_folder))["state"]
        counts["intact afterwards"] += after == before
        shutil.rmtree(store_folder)
    return counts


def _fill_for_full(folder: Path) -> None:
    with _open(folder, "hnsw") as store:
        store.add_texts([f"text of d{index}" for index in range(300)], ids=[f"d{index}" for index in range(300)])
        store.compact()


def _write_until_full(folder: Path, limit: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = _open(folder, "hnsw")
    state = {document.id or "": document.page_content for document in store.all_documents()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    outcome = "nothing failed"
    for number in range(60):
        write = {f"f{number}-{index}": f"text {index}" * 20 for index in range(40)}
        try:
            store.add_texts(list(write.values()), ids=list(write))
            state |= write
            if number % 10 == 5:
                store.compact()
        except StoreFolderError:
            outcome = "refused with a typed error"
            break
        except OSError:
            outcome = "refused with a bare error"
            break
    readable = len(store.similarity_search("text", k=5)) == 5
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.add_texts(["text again"], ids=["again"])
    store.close()
    folder.with_suffix(".json").write_text(json.dumps(state | {"again": "text again"}), encoding="utf-8")
    return outcome if readable else "unreadable"


# --- many at once


@dataclasses.dataclass
class TogetherReport:
    """What one writer, four readers and a second writer counted."""

    writes: int
    searches: int
    torn: int
    crashed: int
    refused: int
    let_in: int
    intact: bool  # afterwards every index holds what the store holds


def run_together(folder: Path, *, minutes: float) -> TogetherReport:
    """Let one process write, and meanwhile four others read and one more try to write."""
    in_child(lambda: _fill_for_full(folder))
    writing, stop = folder.with_name("writing"), folder.with_name("stop")
    writer, told = start_child(lambda: _keep_writing(folder, writing, stop))
    while not writing.exists() and not select.select([told], [], [], 0.01)[0]:
        pass  # whatever the machine's load, the writer is there before the others and stays until they are done
    end = time.monotonic() + 60 * minutes
    workers: list[Callable[[], dict[str, int]]] = [
        lambda seed=seed: _keep_reading(folder, end, seed) for seed in range(4)
    ]
    reports = in_children([*workers, lambda: _try_to_write(folder, end)])
    stop.touch()
    reports.append(answer_of(writer, told))
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report or {})
    final = in_child(lambda: _read_back(folder))
    return TogetherReport(
        writes=total["writes"],
        searches=total["searches"],
        torn=total["torn"],
        crashed=sum(report is None for report in reports),
        refused=total["refused"],
        let_in=total["let in"],
        intact="" not in final["state"],
    )


def _keep_writing(folder: Path, writing: Path, stop: Path) -> dict[str, int]:
    random_, count = random.Random(0), 0
    with _open(folder, "hnsw") as store:
        while not stop.exists():
            ids = [f"d{random_.randint(0, 999)}" for _ in range(random_.randint(1, 20))]
            if random_.random() < 0.3:
                store.delete(ids)
            else:
                store.add_texts([f"text of {id_}" for id_ in ids], [{"owner": id_} for id_ in ids], ids=ids)
            if count % 400 == 399:
                store.compact()
            count += 1
            writing.touch()
    return {"writes": count}


def _keep_reading(folder: Path, end: float, seed: int) -> dict[str, int]:
    random_, searches, torn = random.Random(seed), 0, 0
    with _open(folder) as store:
        while time.monotonic() < end or searches < _MIN_SEARCHES:
            id_ = f"d{random_.randint(0, 999)}"
            found = store.similarity_search_with_score(f"text of {id_}", k=10)
            names = [document.id for document, _ in found]
            texts_fit = all(document.page_content == f"text of {document.id}" for document, _ in found)
            ordered = [score for _, score in found] == sorted((score for _, score in found), reverse=True)
            torn += not (texts_fit and ordered and len(set(names)) == len(names) == 10)
            searches += 1
    return {"searches": searches, "torn": torn}


def _try_to_write(folder: Path, end: float) -> dict[str, int]:
    counts = {"refused": 0, "let in": 0}
    while time.monotonic() < end or not counts["refused"] + counts["let in"]:
        with _open(folder) as store:
            try:
                store.add_texts(["intruder"], ids=["intruder"])
                counts["let in"] += 1
            except StoreBusyError:
                counts["refused"] += 1
        time.sleep(0.2)
    return counts


def _open(folder: Path, index: str = "auto") -> FaissStore:
    return FaissStore(folder, embedding=HashedEmbeddings(dimension=_DIMENSION), index=index)  # type: ignore[arg-type]
