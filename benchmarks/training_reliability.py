"""Page of what a training keeps under kills and on a full disk.

Run: python -m benchmarks.training_reliability [--kills 20] [--ceilings 30] [--seed 0] [--every-change]
     [--out docs/benchmarks/training_reliability.md]
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import processor
from tests.reliability.training import (
    METHODS,
    POINTS,
    KillReport,
    Training,
    kill_at,
    load_for_children,
    run_every_change,
    run_full_disk,
    run_kills,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each method, at random moments")
    parser.add_argument("--ceilings", type=int, default=30, help="of file size, as a full disk")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-change", action="store_true", help="kill before every single change of a file, too")
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
    every_change = " --every-change" if arguments.every_change else ""
    lines = [
        "# What a training keeps",
        "",
        f"`python -m benchmarks.training_reliability --kills {arguments.kills} --ceilings {arguments.ceilings} "
        f"--seed {arguments.seed}{every_change}`, {processor()}, {os.cpu_count()} cores (one used), "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "A one-layer encoder, a checkpoint every three steps of nine an epoch, an older model in the folder's place. "
        "Random moments lie between the first step and the end. After each kill the same call is made again, in a new "
        "process. Equal means: every file of the folder has the bytes, and the result the figures and history, of the "
        "run that was never cut off; nothing is left beside it.",
        "",
        "## Killed at a random moment",
        "",
        "| Method | kills | with a checkpoint to go on from | equal in the end | moments |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        training = Training(folder / method, method)
        report = run_kills(training, count=arguments.kills, seed=arguments.seed)
        lines.append(f"| {method} {_row(report)}")
        _tell(lines)
    lines += ["", "## Killed at a chosen moment", "", "| Moment | " + " | ".join(METHODS) + " |"]
    lines.append("|---|" + "---|" * len(METHODS))
    for name, point in POINTS.items():
        cells = [_cell(Training(folder / method, method), point) for method in METHODS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        _tell(lines)
    if arguments.every_change:
        report = run_every_change(Training(folder / "full", "full"))
        lines += ["", "Killed before every single change of a file or folder, method full: "]
        lines[-1] += f"{report.kills} kills, {report.equal} equal ({_moments(report)})."
        _tell(lines)
    counts = run_full_disk(Training(folder / "full", "full"), arguments.ceilings)
    texts = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    lines += ["", "## Disk full", ""]
    lines.append(f"{arguments.ceilings} ceilings of file size (as a full disk), method full: {texts}.")
    return lines


def _cell(training: Training, point: tuple[str, str, int]) -> str:
    outcome = kill_at(training, point)
    return "-" if outcome == "not reached" else outcome


def _row(report: KillReport) -> str:
    return f"| {report.kills} | {report.resumed} | {report.equal} of {report.rounds} | {_moments(report)} |"


def _moments(report: KillReport) -> str:
    return ", ".join(f"{count} {name}" for name, count in report.moments.most_common())


def _tell(lines: list[str]) -> None:
    sys.stderr.write(lines[-1] + "\n")


if __name__ == "__main__":
    main()
