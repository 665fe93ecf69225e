"""The inside of a parser's process: takes files from its input, parses them within limits, answers with documents.

A file is two messages, an object of JSON that names it and its bytes; an answer is one, an object with the documents or
an error.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llms.worker_process import receive, send
from retrievers.errors import DocumentError, NoTextError

MEMORY_EXIT = 3
"""The status with which the process ends that has no memory left."""

_STATUS = Path("/proc/self/status")  # of Linux
_NEARLY_ALL = 0.8
_WATCH_S = 0.05

Parse = Callable[..., list[Any]]


def main() -> None:
    """Answer until the input ends, which it also does when the program at its other end is killed."""
    parser, memory_bytes = sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_take_requests, args=(requests,), daemon=True).start()
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it, and needs it for nothing here
    module, _, name = parser.partition(":")
    parse: Parse = getattr(importlib.import_module(module), name)
    max_bytes = _limit_memory(memory_bytes)
    while True:
        head, raw = json.loads(requests.get()), requests.get()
        _limit_computing(head["cpu_s"])
        send(answers, _answer(parse, raw, Path(head["path"]), source=head["source"], max_bytes=max_bytes))


def _take_requests(requests: "queue.SimpleQueue[bytes]") -> None:
    """Take messages, and end the process at once where there are no more, also while a file is parsed."""
    try:
        while (message := receive(lambda size: os.read(0, size), max_bytes=sys.maxsize)) is not None:
            requests.put(message)
    except EOFError:
        os._exit(0)
    except MemoryError:
        os._exit(MEMORY_EXIT)


def _answer(parse: Parse, raw: bytes, path: Path, *, source: str, max_bytes: int) -> bytes:
    try:
        documents = parse(raw, path, source=source)
        answer: dict[str, Any] = {"documents": [[found.page_content, found.metadata] for found in documents]}
        return json.dumps(answer, ensure_ascii=False).encode()
    except MemoryError:
        answer = {"error": "MemoryError"}
    except NoTextError as error:
        answer = {"error": "NoTextError", "message": str(error)}
    except DocumentError as error:  # libraries in C call a lack of memory a fault of the file
        is_full = _peak_bytes() > max_bytes * _NEARLY_ALL
        answer = {"error": "MemoryError"} if is_full else {"error": "DocumentError", "message": str(error)}
    except Exception as error:  # a fault of a reader stops the reading of this file only
        message = f"{path} cannot be read: {type(error).__name__}: {error}; save it anew"
        answer = {"error": "DocumentError", "message": message}
    return json.dumps(answer).encode()


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
