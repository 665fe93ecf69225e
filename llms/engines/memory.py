"""Memory of the machine: how much is free, and the return of what is not used."""

import contextlib
import ctypes
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_MADV_DONTNEED = 4
_FORGET_EVERY_S = 0.1


def free_bytes() -> int | None:
    """Return how much memory this process can still take without swapping; None where that cannot be told.

    A limit of the process's control group, as a container has it, counts where it is lower.
    """
    found = [value for value in (_free_on_machine(), _free_in_group()) if value is not None]
    return min(found, default=None)


def _free_on_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_in_group() -> int | None:
    group = Path("/sys/fs/cgroup")  # as a container sees its own
    try:
        limit, used = ((group / name).read_text("utf-8").strip() for name in ("memory.max", "memory.current"))
        fields = dict(line.split() for line in (group / "memory.stat").read_text("utf-8").splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - int(used) + int(fields.get("inactive_file", 0))


def give_memory_back() -> None:
    """Hand freed memory back to the system, which takes about 20 ms.

    The C library keeps it for later, but in pieces that the next prompt's tensors, of another length, do not fit
    into: without this, a process that answers prompts of many lengths grows to several times what it uses.
    """
    if (trim := _trim()) is not None:
        trim(0)


def forget_file_pages(*paths: Path) -> None:
    """Let go of the pages of files that are mapped into memory and only read; they are read again when needed.

    For weights that a library has turned into a form of its own, which makes the mapped ones a second copy.
    """
    maps = Path("/proc/self/maps")  # Linux; elsewhere nothing is done
    if not maps.exists():
        return
    wanted = {str(path.resolve()) for path in paths}
    for line in maps.read_text("utf-8", errors="replace").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1].startswith("r") and fields[5] in wanted:
            start, end = (int(address, 16) for address in fields[0].split("-"))
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


@contextlib.contextmanager
def forgetting_file_pages(*paths: Path) -> Iterator[None]:
    """Let go of the pages of files again and again while their weights are read one after the other, and at the end."""
    ended = threading.Event()

    def forget() -> None:
        while not ended.wait(_FORGET_EVERY_S):
            forget_file_pages(*paths)

    thread = threading.Thread(target=forget, name="forget-file-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        forget_file_pages(*paths)


@functools.cache
def _trim() -> "Callable[[int], int] | None":
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc's own
