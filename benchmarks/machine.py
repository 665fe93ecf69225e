"""Name of the processor and time taken, for every benchmark's page."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["processor", "timed"]


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
