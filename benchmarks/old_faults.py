"""Old faults put back one by one, and whether a test catches each.

Run: python -m benchmarks.old_faults [--only TEXT] [--jobs 2]

The tree is copied to a temporary folder, one snippet of one file is exchanged for its faulty text, and only the tests
named with it are run. `old_faults.yaml` holds the faults; one whose snippet no longer stands in its file is named.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 900
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "workspace", "*.egg-info")
_PASSED, _FAILED = 0, 1  # what pytest returns; anything else means that no test could tell


@dataclass(frozen=True)
class Fault:
    """One change to one file, and the tests of which one must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str

    def put_into(self, tree: Path) -> bool:
        """Exchange the snippet; return False where it does not stand in the file just once."""
        path = tree / self.file
        text = path.read_text("utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            return False
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names of the faults to put back")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    arguments = parser.parse_args()
    faults = [fault for fault in read_faults() if arguments.only in fault.name]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = []
        for fault, outcome in zip(faults, pool.map(find_outcome, faults), strict=True):
            print(f"{outcome:24} {fault.name} ({fault.file})", flush=True)
            outcomes.append(outcome)
    print(f"{outcomes.count('caught')} of {len(outcomes)} caught")
    sys.exit(outcomes.count("caught") < len(outcomes))


def read_faults() -> list[Fault]:
    """Return all faults."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    return [Fault(**entry) for entry in entries]


def find_outcome(fault: Fault) -> str:
    """Return "caught", "MISSED", or why no test could tell."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        shutil.copytree(ROOT, tree, ignore=_LEFT_OUT)
        if not fault.put_into(tree):
            return "snippet gone"
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *shlex.split(fault.tests)]
        # the copy's own packages, not those that are installed
        environment = {**os.environ, "PYTHONPATH": str(tree), "TMPDIR": temporary}  # noqa: TID251
        try:
            done = subprocess.run(  # noqa: S603  # our own tests
                command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return "caught"  # it hangs, which every run of the tests would notice
        if done.returncode == _FAILED:
            return "caught"
        return "MISSED" if done.returncode == _PASSED else f"pytest ended with {done.returncode}"


if __name__ == "__main__":
    main()
