"""Page of what `FaissStore` keeps under kills, damage, a full disk and many processes at once.

Run: python -m benchmarks.store_reliability [--kills 200] [--truncations 200] [--flips 500] [--minutes 10]
     [--out docs/benchmarks/store_reliability.md]
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.reliability.store import KINDS, load_for_children, run_damage, run_full_disk, run_kills, run_together

_NUM_LIMITS = 40  # ceilings of file size


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
    counts = run_full_disk(folder / "full", num_limits=_NUM_LIMITS)
    texts = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    lines += ["", "## Disk full", ""]
    lines.append(f"{_NUM_LIMITS} ceilings of file size (as a full disk) during writes and snapshots: {texts}.")
    lines += ["", "## One writer, four readers", "", _together_text(folder / "together", arguments.minutes)]
    return lines


def _together_text(folder: Path, minutes: float) -> str:
    report = run_together(folder, minutes=minutes)
    return (
        f"{minutes:g} minutes: {report.writes:,} writes, {report.searches:,} searches, "
        f"{report.torn} torn results, {report.crashed} crashed processes, "
        f"{report.refused:,} attempts of a second writer refused with a typed error, {report.let_in} let in. "
        f"Afterwards every index holds what the store holds: {'yes' if report.intact else 'NO'}."
    )


def _tell(lines: list[str]) -> None:
    sys.stderr.write(lines[-1] + "\n")


if __name__ == "__main__":
    main()
