"""Page of what conversations keep under kills, two messages at once, a full disk and growth.

Run: python -m benchmarks.conversations [--kills 100] [--pairs 1000] [--messages 500]
     [--out docs/benchmarks/conversations.md]
"""

import argparse
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import processor
from tests.reliability.conversations import run_full_disk, run_growth, run_kills, run_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--messages", type=int, default=500, help="of the conversation that grows")
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
    kills = run_kills(folder / "kills", count=arguments.kills, seed=arguments.seed)
    pairs = run_pairs(folder / "pairs", count=arguments.pairs)
    growth = run_growth(folder / "growth", num_messages=arguments.messages)
    lines = [
        "# What conversations keep",
        "",
        f"`python -m benchmarks.conversations --kills {arguments.kills} --pairs {arguments.pairs} "
        f"--messages {arguments.messages}`, {os.cpu_count()} cores, {processor()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, seed {arguments.seed}. Load average at the "
        f"end: {os.getloadavg()[0]:.1f}.",
        "",
        "The chain answers at once, so all that is measured is how conversations are kept, in one SQLite file.",
        "",
        "## Killed at a random moment",
        "",
        "A process serves three conversations: questions, hand-overs, answers of staff. It is killed, the file is",
        "opened again, and every message it began is sent again. A reply holds a random number, so that one that was",
        "made twice shows. A killed process loses nothing that the operating system holds, so these kills say nothing",
        "about a power cut.",
        "",
        "| kills | acknowledged messages | lost or changed | doubled | out of order | begun and finished later | "
        "slowest reopening, s |",
        "|---|---|---|---|---|---|---|",
        f"| {kills.kills} | {kills.acknowledged:,} | {kills.lost} | {kills.doubled} | {kills.out_of_order} | "
        f"{kills.finished_later} | {kills.slowest_reopening_s:.2f} |",
        "",
        "## Two messages at once",
        "",
        "| sent by | pairs | lost | interleaved | against the order of the calls |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {report.sent_by} | {report.pairs:,} | {report.lost} | {report.interleaved} | "
        f"{'no order' if report.swapped is None else report.swapped} |"
        for report in pairs
    ]
    full = run_full_disk(folder / "full")
    lines += [
        "",
        "## Disk full",
        "",
        f"20 ceilings of file size (as a full disk) while 30 messages are sent: {full['refused']} messages refused, "
        f"{full['unreadable']} times what was there could not be read; sent again when there was room: {full['lost']} "
        f"lost, {full['doubled']} doubled.",
        "",
        "## A long conversation",
        "",
        "Beside it the usual graph: all turns in its state, every checkpoint kept, the same durability.",
        "",
        "| messages | ms a message | kB in the file | usual graph: ms a message | kB in the file |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {number} | {ours.milliseconds:.1f} | {ours.kilobytes:,.0f} | {usual.milliseconds:.1f} | "
        f"{usual.kilobytes:,.0f} |"
        for number, (ours, usual) in growth.items()
    ]
    return lines


if __name__ == "__main__":
    main()
