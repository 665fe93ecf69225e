"""Customer service on public data: known questions, routes, grounded quotes, invented facts, poisoned documents, speed.

Run: python -m benchmarks.customer_service [--parts known,routes,quotes,facts,poison,speed]
     [--out docs/benchmarks/customer_service.md]

Each part fits its thresholds on one part of the questions and reports another; baselines come from the same run.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import processor
from benchmarks.service_attacks import poisoned_section
from benchmarks.service_known_questions import known_questions_section
from benchmarks.service_lies import invented_facts_section
from benchmarks.service_quotes import quotes_section
from benchmarks.service_routes import routes_section
from benchmarks.service_speed import speed_section

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
PARTS: dict[str, Callable[[Path, Path], list[str]]] = {
    "known": known_questions_section,
    "routes": routes_section,
    "quotes": quotes_section,
    "facts": invented_facts_section,
    "poison": poisoned_section,
    "speed": speed_section,
}


def main() -> None:
    arguments = _parse()
    data = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA))  # noqa: TID251  # no workspace here
    lines = [
        "# Customer service on public data",
        "",
        f"Command: `python -m benchmarks.customer_service --parts {arguments.parts}`; seed 0.",
        f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores, {processor()}.",
    ]
    for name in arguments.parts.split(","):
        print(f"part {name}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as temporary:
            lines += ["", *PARTS[name](data, Path(temporary))]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts.split(",")) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()
