"""Inside of a limited process: takes requests from its input, does its work within limits, answers.

A request is two messages, an object of JSON and bytes; an answer is one, an object.
"""

import importlib
import json
import math
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llms.processes.pipes import receive, send

MEMORY_EXIT = 3
"""The status with which the process ends that has no memory left."""

_STATUS = Path("/proc/self/status")  # of Linux
_NEARLY_ALL = 0.8
_WATCH_S = 0.05

Work = Callable[[Mapping[str, Any], bytes], Mapping[str, Any]]


def main() -> None:
    """Answer until the input ends, which it also does when the program at its other end is killed."""
    prepare, memory_bytes, *arguments = sys.argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_take_requests, args=(requests,), daemon=True).start()
    module, _, name = prepare.partition(":")
    work: Work = getattr(importlib.import_module(module), name)(*arguments)
    max_bytes = _limit_memory(int(memory_bytes))
    while True:
        head, raw = json.loads(requests.get()), requests.get()
        _limit_computing(head["cpu_s"])
        send(answers, _answer(work, head["request"], raw, max_bytes=max_bytes))


def _take_requests(requests: "queue.SimpleQueue[bytes]") -> None:
    """Take messages, and end the process at once where there are no more, also while it works."""
    try:
        while (message := receive(lambda size: os.read(0, size), max_bytes=sys.maxsize)) is not None:
            requests.put(message)
    except EOFError:
        os._exit(0)
    except MemoryError:
        os._exit(MEMORY_EXIT)


def _answer(work: Work, request: Mapping[str, Any], raw: bytes, *, max_bytes: int) -> bytes:
    try:
        answer = work(request, raw)
        if "error" in answer and _peak_bytes() > max_bytes * _NEARLY_ALL:
            answer = {"is_full": True}  # libraries in C call a lack of memory a fault of the input
        return json.dumps(answer, ensure_ascii=False).encode()
    except MemoryError:
        return json.dumps({"is_full": True}).encode()


def _limit_computing(cpu_s: int) -> None:
    """Let the system end the process after so much more computing, also within a library in C."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time()) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit_memory(memory_bytes: int) -> int:
    """Limit the memory to so much more than there is now, and return how much that is.

    Linux counts what is written to (RLIMIT_DATA), not what is only reserved or mapped from files (RLIMIT_AS), and then
    gives no more. Other systems have no such limit that holds; there the process watches itself.
    """
    max_bytes = _peak_bytes() + memory_bytes
    if _STATUS.exists():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = _status_bytes("VmData") + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    else:
        threading.Thread(target=_watch_memory, args=(max_bytes,), daemon=True).start()
    return max_bytes


def _watch_memory(max_bytes: int) -> None:
    while _peak_bytes() <= max_bytes:
        time.sleep(_WATCH_S)
    os._exit(MEMORY_EXIT)


def _peak_bytes() -> int:
    """Return how much memory the process had at most at once."""
    if _STATUS.exists():  # ru_maxrss of Linux begins with that of the program which started this one
        return _status_bytes("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _status_bytes(name: str) -> int:
    lines = _STATUS.read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
