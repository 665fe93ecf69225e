"""Return of unused memory to the operating system."""

import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path

_MADV_DONTNEED = 4


def give_memory_back() -> None:
    """Hand freed memory back to the system, which takes about 20 ms.

    The C library keeps it for later, but in pieces that the next prompt's tensors, of another length, do not fit
    into: without this, a process that answers prompts of many lengths grows to several times what it uses.
    """
    if (trim := _trim()) is not None:
        trim(0)


def forget_file_pages(path: Path) -> None:
    """Let go of the pages of a file that is mapped into memory for reading; they are read again if they are needed.

    For weights that a library has turned into a form of its own, which makes the mapped ones a second copy.
    """
    maps = Path("/proc/self/maps")  # Linux; elsewhere nothing is done
    if not maps.exists():
        return
    for line in maps.read_text("utf-8", errors="replace").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1].startswith("r--") and fields[5] == str(path.resolve()):
            start, end = (int(address, 16) for address in fields[0].split("-"))
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


@functools.cache
def _trim() -> "Callable[[int], int] | None":
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc's own
