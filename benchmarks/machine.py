"""Name of the processor, time and memory taken, for every benchmark's page."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

from tests.serving.served import children

__all__ = ["memory_of", "processor", "timed"]


def processor() -> str:
    """Return what the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def timed(run: Callable[[], object]) -> float:
    """Return how many seconds `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def memory_of(pid: int) -> int:
    """Return how many bytes a process and all that it started hold; shared pages count in parts (Linux)."""
    family = [pid]
    for parent in family:
        family += children(parent)
    return sum(map(_share_of_memory, family))


def _share_of_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
