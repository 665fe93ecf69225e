"""Memory and time until a chat model's first answer on OpenVINO: exported for the first time, and loaded again.

Run: python -m benchmarks.chat_memory --models FOLDER_OR_NAME ... [--baseline TREE [--baseline-models NAME ...]]
     [--precisions int8 int4] [--results build/chat_memory.jsonl] [--out docs/benchmarks/chat_memory.md]

Models are folders, or names that `tunechain models add` made. TREE is a git worktree of an older commit; it measures
all models, or those named, since what it cannot export on this machine cannot be compared. Every figure is of a
process of its own: seconds from its start to the first answer, and the largest share of memory that it and its children
had together (PSS, twice a second; Linux). RESULTS keeps each row, so that a broken run goes on.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import memory_of, processor
from benchmarks.results import append_result, read_results
from llms.loading import resolve_model

HERE = Path(__file__).resolve().parent.parent
_MB = 2**20
_PROGRAM = """
import json, sys
from llms import LocalChatModel
model, precision = sys.argv[1:]
chat = LocalChatModel(model=model, engine="openvino", dtype=precision, max_tokens=8)  # the old name
print(json.dumps(chat.invoke("What is the capital of France? Answer in one word.").text))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What it took until the first answer."""

    seconds: float
    peak_mb: int
    answer: str


def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--precisions", nargs="+", default=["int8", "int4"])
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--baseline-models", nargs="+")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kept: dict[str, str] = dict(read_results(arguments.results))
    for name in arguments.models:
        folder = Path(resolve_model(name))
        weights_mb = sum(path.stat().st_size for path in folder.glob("*.safetensors")) // _MB
        versions = [("now", HERE, precision) for precision in arguments.precisions]
        if arguments.baseline and name in (arguments.baseline_models or arguments.models):
            versions.insert(0, ("before", arguments.baseline.resolve(), arguments.precisions[0]))
        for version, tree, precision in versions:
            title = f"{folder.name}, {precision}, {version}"
            if title in kept:
                continue
            print(f"measuring {title}", file=sys.stderr)
            kept[title] = _row(title, folder, tree, precision, weights_mb)
            append_result(arguments.results, [title, kept[title]])
    page = "\n".join([*_head(arguments.models), *kept.values()]) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page, "utf-8")


def _head(models: list[str]) -> list[str]:
    return [
        "# Memory and time until a chat model's first answer",
        "",
        f"`python -m benchmarks.chat_memory --models {' '.join(models)}`, {processor()}, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "*First* is a folder that was never run here: it is exported, and that is proven. *Again* finds it there.",
        "Memory is the peak of the process and its children together; the weights are what the folder holds.",
        f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.0f} when the page was written: above the number of cores,",
        "seconds are those of a machine with other work, and only memory can be compared with other machines.",
        "",
        "| model | weights | export | first | memory | again | memory | answer |",
        "|---|---|---|---|---|---|---|---|",
    ]


def _row(title: str, folder: Path, tree: Path, precision: str, weights_mb: int) -> str:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        copy = Path(work) / folder.name
        copy.mkdir()
        for path in folder.iterdir():
            if path.is_file():
                (copy / path.name).hardlink_to(path)
        first = _load(copy, tree, precision)
        again = _load(copy, tree, precision)
        export_mb = sum(path.stat().st_size for path in (copy / "openvino").rglob("*.bin")) // _MB
        shutil.rmtree(copy)
    return (
        f"| {title} | {weights_mb:,} MiB | {export_mb:,} MiB | {first.seconds:.1f} s | {first.peak_mb:,} MiB "
        f"| {again.seconds:.1f} s | {again.peak_mb:,} MiB | {again.answer} |"
    )


def _load(folder: Path, tree: Path, precision: str) -> Load:
    """Return what a process of the version in `tree` took; with -c, its working directory's packages come first."""
    started = time.perf_counter()
    command = [sys.executable, "-c", _PROGRAM, str(folder), precision]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603  # our own
    ):
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.5)  # reading the pages of 3 GB is work, too
        seconds = time.perf_counter() - started
        if process.returncode or process.stdout is None:
            errors.seek(0)
            msg = f"{folder.name} in {tree}: {errors.read().decode('utf-8', 'replace')[-2000:]}"
            raise RuntimeError(msg)
        answer = json.loads(process.stdout.read().splitlines()[-1])
    return Load(seconds=seconds, peak_mb=peak // _MB, answer=" ".join(answer.split()))


if __name__ == "__main__":
    main()
