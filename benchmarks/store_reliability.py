"""What `FaissStore` keeps when it is killed, damaged, filled up or used by many at once: counts, by one command.

Run: python -m benchmarks.store_reliability [--kills 200] [--truncations 200] [--flips 500] [--minutes 10]
     [--out docs/benchmarks/store_reliability.md]

Every round runs in a process forked from this one, which itself never searches: what is killed leaves nothing behind.
"""

import argparse
import dataclasses
import importlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llms.errors import TuneChainError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import StoreBusyError, StoreFolderError
from retrievers.keyword import split_words

DIMENSION = 16
KINDS = ("add", "delete", "snapshot", "compaction")
MAX_DOCUMENTS = 3_000
State = dict[str, str]  # id -> text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of each kind")
    parser.add_argument("--truncations", type=int, default=200, help="of each file")
    parser.add_argument("--flips", type=int, default=500, help="of each file")
    parser.add_argument("--minutes", type=float, default=10, help="with one writer and four readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        lines = _report(arguments, Path(folder))
    lines += ["", f"Wall time: {(time.monotonic() - started) / 60:.1f} minutes."]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _report(arguments: argparse.Namespace, folder: Path) -> list[str]:
    load_for_children()
    lines = [
        "# What the store keeps",
        "",
        f"`python -m benchmarks.store_reliability --kills {arguments.kills} --truncations {arguments.truncations} "
        f"--flips {arguments.flips} --minutes {arguments.minutes:g}`, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, seed {arguments.seed}.",
        "",
        "A killed process loses nothing that the operating system holds, so these kills say nothing about a power cut.",
        "",
        "## Killed at a random moment",
        "",
        "| While it | kills | acknowledged writes | lost or changed | duplicates | slowest reopening, s |",
        "|---|---|---|---|---|---|",
    ]
    reports = []
    for kind in KINDS:
        report = run_kills(folder / kind, kind, count=arguments.kills, seed=arguments.seed)
        reports.append(report)
        lines.append(
            f"| {kind} | {report.kills} | {report.acknowledged:,} | {report.lost} | {report.duplicates} | "
            f"{report.slowest_reopening_s:.2f} |"
        )
        _tell(lines)
    names = ("kills", "acknowledged", "lost", "duplicates")
    totals = [sum(getattr(report, name) for report in reports) for name in names]
    lines.append(f"| **all** | {' | '.join(f'{total:,}' for total in totals)} | |")
    lines += ["", "## Damaged files", "", "| File | damage | named | rebuilt | no byte that matters | wrong answers |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, damage, counts in run_damage(
        folder / "damage", truncations=arguments.truncations, flips=arguments.flips, seed=arguments.seed
    ):
        cells = " | ".join(str(counts[outcome]) for outcome in ("named", "rebuilt", "harmless", "wrong"))
        lines.append(f"| {name} | {sum(counts.values())} {damage} | {cells} |")
        _tell(lines)
    lines += ["", "## Disk full", "", *run_full_disk(folder / "full")]
    lines += ["", "## One writer, four readers", "", *run_together(folder / "together", minutes=arguments.minutes)]
    return lines


def load_for_children() -> None:
    """Load once what every child needs; loading starts no thread, which a fork would lose."""
    importlib.import_module("faiss")
    list(split_words("退货"))


def _tell(lines: list[str]) -> None:
    sys.stderr.write(lines[-1] + "\n")


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
        if len(state) > MAX_DOCUMENTS:
            shutil.rmtree(folder)
            state = {}
        allowed, acknowledged = _killed_writer(folder, kind, state, random_, seed=seed * 1_000_003 + number)
        found = _in_child(lambda: _read_back(folder))
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
    ids = [f"d{random_.randint(0, 2 * MAX_DOCUMENTS)}" for _ in range(random_.choice([1, 1, 3, 40]))]
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
    expected = _in_child(lambda: _fill_for_damage(closed))
    _in_child(lambda: _fill_and_stay_open(closed, killed))
    untouched = killed.with_name("untouched")  # reading it ends its log
    shutil.copytree(killed, untouched)
    expected_killed = _in_child(lambda: _answers(untouched))
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
                    counts[_in_child(lambda copy=copy, right=right: _outcome(copy, right))] += 1
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
    for start in range(0, 400, 50):
        ids = [f"d{place}" for place in range(start, start + 50)]
        metadata = [{"place": place, "even": place % 2 == 0} for place in range(start, start + 50)]
        store.add_texts([f"text of {id_} about word{len(id_)} 退货 number{id_}" for id_ in ids], metadata, ids=ids)
    store.compact()
    store.delete([f"d{place}" for place in range(0, 400, 13)])
    store.add_texts([f"later text {place}" for place in range(20)], ids=[f"l{place}" for place in range(20)])
    store.close()
    return _answers(folder)


def _fill_and_stay_open(closed: Path, killed: Path) -> None:
    """Copy a store in the middle of its work, as a kill leaves it: the newest writes stand in the log only."""
    work = killed.with_name("work")
    shutil.copytree(closed, work)
    store = _open(work)
    for place in range(30):
        store.add_texts([f"newest text {place}"], ids=[f"n{place}"])
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


def run_full_disk(folder: Path, *, num_limits: int = 40) -> list[str]:
    """Let writes fail at many places, and count what became of the store."""
    counts: Counter[str] = Counter()
    for number in range(num_limits):
        place = folder / str(number)
        _in_child(lambda place=place: _fill_for_full(place))
        size = (place / "store.sqlite").stat().st_size
        limit = int(size * (0.2 + 2.2 * number / num_limits))
        counts[_in_child(lambda place=place, limit=limit: _write_until_full(place, limit))] += 1
        before = json.loads((place.with_suffix(".json")).read_text("utf-8"))
        after = _in_child(lambda place=place: _read_back(place))["state"]
        counts["intact afterwards"] += after == before
        shutil.rmtree(place)
    texts = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return [f"{num_limits} ceilings of file size (as a full disk) during writes and snapshots: {texts}."]


def _fill_for_full(folder: Path) -> None:
    with _open(folder, "hnsw") as store:
        store.add_texts([f"text of d{place}" for place in range(300)], ids=[f"d{place}" for place in range(300)])
        store.compact()


def _write_until_full(folder: Path, limit: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = _open(folder, "hnsw")
    state = {document.id or "": document.page_content for document in store.all_documents()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    outcome = "nothing failed"
    for number in range(60):
        write = {f"f{number}-{place}": f"text {place}" * 20 for place in range(40)}
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


def run_together(folder: Path, *, minutes: float) -> list[str]:
    """Let one process write while four others read, and two more try to write."""
    _in_child(lambda: _fill_for_full(folder))
    end = time.time() + 60 * minutes
    workers: list[Callable[[], dict[str, int]]] = [lambda: _keep_writing(folder, end)]
    workers += [lambda seed=seed: _keep_reading(folder, end, seed) for seed in range(4)]
    workers += [lambda: _try_to_write(folder, end)]
    reports = _in_children(workers)
    crashed = sum(report is None for report in reports)
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report or {})
    final = _in_child(lambda: _read_back(folder))
    intact = "" not in final["state"]
    return [
        f"{minutes:g} minutes: {total['writes']:,} writes, {total['searches']:,} searches, "
        f"{total['torn']} torn results, {crashed} crashed processes, "
        f"{total['refused']:,} attempts of a second writer refused with a typed error, {total['let in']} let in. "
        f"Afterwards every index holds what the store holds: {'yes' if intact else 'NO'}."
    ]


def _keep_writing(folder: Path, end: float) -> dict[str, int]:
    random_, count = random.Random(0), 0
    with _open(folder, "hnsw") as store:
        while time.time() < end:
            ids = [f"d{random_.randint(0, 999)}" for _ in range(random_.randint(1, 20))]
            if random_.random() < 0.3:
                store.delete(ids)
            else:
                store.add_texts([f"text of {id_}" for id_ in ids], [{"owner": id_} for id_ in ids], ids=ids)
            if count % 400 == 399:
                store.compact()
            count += 1
    return {"writes": count}


def _keep_reading(folder: Path, end: float, seed: int) -> dict[str, int]:
    random_, searches, torn = random.Random(seed), 0, 0
    with _open(folder) as store:
        while time.time() < end:
            id_ = f"d{random_.randint(0, 999)}"
            found = store.similarity_search_with_score(f"text of {id_}", k=10)
            names = [document.id for document, _ in found]
            texts_fit = all(document.page_content == f"text of {document.id}" for document, _ in found)
            ordered = [score for _, score in found] == sorted((score for _, score in found), reverse=True)
            torn += not (texts_fit and ordered and len(set(names)) == len(names) == 10)
            searches += 1
    return {"searches": searches, "torn": torn}


def _try_to_write(folder: Path, end: float) -> dict[str, int]:
    time.sleep(1)  # the first writer comes first
    counts = {"refused": 0, "let in": 0}
    while time.time() < end - 1:
        with _open(folder) as store:
            try:
                store.add_texts(["intruder"], ids=["intruder"])
                counts["let in"] += 1
            except StoreBusyError:
                counts["refused"] += 1
        time.sleep(0.2)
    return counts


# --- processes


def _open(folder: Path, index: str = "auto") -> FaissStore:
    return FaissStore(folder, embedding=HashedEmbeddings(dimension=DIMENSION), index=index)  # type: ignore[arg-type]


def _in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process of its own."""
    (answer,) = _in_children([work])
    if answer is None:
        msg = "a child process died"
        raise SystemExit(msg)
    return answer["value"] if isinstance(answer, dict) and set(answer) == {"value"} else answer


def _in_children(works: list[Callable[[], Any]]) -> list[Any]:
    """Return what each of `works` returns, all at the same time; None for a process that died."""
    children = [_start(work) for work in works]
    answers = []
    for child, reading in children:
        with os.fdopen(reading, "rb") as answer:
            content = answer.read()
        _, status = os.waitpid(child, 0)
        answers.append(json.loads(content) if status == 0 and content else None)
    return answers


def _start(work: Callable[[], Any]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        answer = work()
        wrapped = answer if isinstance(answer, dict) else {"value": answer}
        with os.fdopen(writing, "wb") as out:
            out.write(json.dumps(wrapped).encode())
        status = 0
    except BaseException as error:  # told, then the parent sees that this process failed
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
