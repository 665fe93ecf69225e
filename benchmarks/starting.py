"""Processor time of one question in the terminal: this version beside an older one.

Run: python -m benchmarks.starting --workspace DIR [--baseline TREE] [--baseline-workspace DIR] [--runs 5]

TREE is a git worktree of an older commit. DIR was made by `tunechain quickstart`. The first run of each version is not
counted: it may keep what later ones read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import processor

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Run:
    """One process that answered one question."""

    cpu_s: float  # user and system, all threads
    wall_s: float
    route: str
    text: str


def ask(tree: Path, workspace: Path, question: str) -> Run:
    """Return what one `tunechain ask` of the version in `tree` took and said."""
    command = [sys.executable, "-m", "apps.cli", "ask", question, "-w", str(workspace.resolve()), "--json"]
    # with -m, the packages of the working directory come before installed ones
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE)  # noqa: S603  # this program
    if process.stdout is None:
        raise AssertionError
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        msg = f"tunechain ask ended with exit code {process.returncode}"
        raise RuntimeError(msg)
    reply = json.loads(output)
    return Run(used.ru_utime + used.ru_stime, time.perf_counter() - started, reply["route"], reply["text"])


def measure(tree: Path, workspace: Path, question: str, *, num_runs: int) -> list[Run]:
    """Return the runs that count, after one that does not."""
    return [ask(tree, workspace, question) for _ in range(num_runs + 1)][1:]


def main() -> None:
    """Measure, and print one line per version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--baseline", type=Path, help="worktree of an older commit")
    parser.add_argument("--baseline-workspace", type=Path, help="default: the same workspace")
    parser.add_argument("--question", default="How do I return an item?")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    versions = {"this version": (HERE, chosen.workspace)}
    if chosen.baseline:
        versions["baseline"] = (chosen.baseline.resolve(), chosen.baseline_workspace or chosen.workspace)
    print(f"{processor()}, {os.cpu_count()} CPUs, {chosen.runs} runs each\n")
    print("| version | CPU s, median | CPU s, least | wall s, median | route | answer |")
    print("|---|---|---|---|---|---|")
    for name, (tree, workspace) in versions.items():
        runs = measure(tree, workspace, chosen.question, num_runs=chosen.runs)
        cpu, wall = [run.cpu_s for run in runs], [run.wall_s for run in runs]
        print(
            f"| {name} | {statistics.median(cpu):.2f} | {min(cpu):.2f} | {statistics.median(wall):.2f} "
            f"| {runs[0].route} | {runs[0].text[:60]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
