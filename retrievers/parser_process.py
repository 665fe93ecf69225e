"""A process of its own that parses files within limits, so that no file can hang or fill the program that reads it."""

import json
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from langchain_core.documents import Document

from llms.worker_process import receive, send, worker_command
from retrievers.errors import DocumentError, NoTextError
from retrievers.parser_worker import MEMORY_EXIT

_MEGABYTE = 1_000_000
_SECONDS_PER_MEGABYTE = 10  # the slowest kind, a PDF full of text, takes seven
_MAX_CPU_S = 120
_END_S = 5  # for a process to notice that nobody asks any more


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserLimits:
    """How much one file may take of the process that parses it.

    Args:
        cpu_s: seconds of computing for a file of up to a megabyte; ten more for each further one, two minutes at most.
        wall_s: seconds of the clock, for a file at which nothing is computed; a busy machine makes all slower.
        memory_bytes: beyond what the process has when it starts.
        reply_bytes: of the documents that are handed back.
    """

    cpu_s: int = 20
    wall_s: float = 600.0
    memory_bytes: int = 512 * _MEGABYTE
    reply_bytes: int = 100 * _MEGABYTE

    def cpu_s_of(self, size_bytes: int) -> int:
        """Return the seconds of computing for a file of this size."""
        more = math.ceil(max(size_bytes / _MEGABYTE - 1, 0) * _SECONDS_PER_MEGABYTE)
        return max(self.cpu_s, min(self.cpu_s + more, _MAX_CPU_S))


class ParserProcess:
    """Parses files as `parse_file` does, one after the other in one process, which is started by the first file.

    A file over a limit, or one that ends the process, is refused like any file that cannot be read, and the next one
    has a new process. The process ends when this is closed, and with the program that started it, however that ends.
    Not for several threads at once.

    Args:
        limits: of each file.
        parser: the function that parses, as `module:name`; it has the arguments of `parse_file`.

    Example:
        >>> with ParserProcess() as parser:
        ...     parser.parse(b"<h1>Returns</h1>", Path("a.html"), source="a.html")[0].page_content
        '# Returns'
    """

    def __init__(self, *, limits: ParserLimits | None = None, parser: str = "retrievers.documents:parse_file") -> None:
        self._limits = limits or ParserLimits()
        self._parser = parser
        self._process: subprocess.Popen[bytes] | None = None
        self._is_fresh = True  # no file was parsed in it yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def parse(self, raw: bytes, path: Path, *, source: str) -> list[Document]:
        """Return the documents that the bytes of a file hold; see `parse_file`.

        Raises:
            NoTextError: if it holds no text.
            DocumentError: if it cannot be read, or takes more than the limits; it names the file and the limit.
        """
        while True:
            was_fresh = self._is_fresh
            try:
                reply = self._ask(raw, path, source)
            except _OverLimitError as error:
                self._end()
                if was_fresh or not error.may_be_of_others:
                    shown = str(path).encode("utf-8", "backslashreplace").decode()
                    msg = f"{shown} {error}; split it, or save it anew"
                    raise DocumentError(msg) from error
            except BaseException:  # such as an interrupt: the answer to this file must not be taken for the next one's
                self._end()
                raise
            else:
                self._is_fresh = False
                return _documents(reply)

    def close(self) -> None:
        """End the process if one was started; another file would start another one."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # the process ends where nobody asks any more
            _exit_status(self._process)
        self._end()

    def _ask(self, raw: bytes, path: Path, source: str) -> Mapping[str, Any]:
        process = self._process = self._process or self._start()
        cpu_s = self._limits.cpu_s_of(len(raw))
        head = {"path": str(path), "source": source, "cpu_s": cpu_s}
        try:
            for part in (json.dumps(head).encode(), raw):
                send(_pipe(process.stdin).fileno(), part)
            reply = _read_answer(_pipe(process.stdout), self._limits)
        except (BrokenPipeError, EOFError) as error:
            raise self._why_ended(_exit_status(process), cpu_s) from error
        answer: Mapping[str, Any] = json.loads(reply)
        if answer.get("error") == "MemoryError":
            raise self._why_ended(MEMORY_EXIT, cpu_s)
        return answer

    def _why_ended(self, status: int, cpu_s: int) -> "_OverLimitError":
        if status == -signal.SIGXCPU:
            return _OverLimitError(f"took longer than {cpu_s} seconds of computing to read")
        if status == MEMORY_EXIT:
            megabytes = self._limits.memory_bytes / _MEGABYTE
            return _OverLimitError(f"took more than {megabytes:,.0f} MB of memory to read", may_be_of_others=True)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return _OverLimitError(f"ended the process that reads it ({how})", may_be_of_others=True)

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_fresh = True
        return subprocess.Popen(  # noqa: S603
            worker_command("retrievers.parser_worker", self._parser, str(self._limits.memory_bytes)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # an interrupt at the terminal is for the program, which ends this one
        )

    def _end(self) -> None:
        process, self._process, self._is_fresh = self._process, None, True
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _pipe(pipe).close()


class _OverLimitError(Exception):
    """A file that takes too much.

    Args:
        reason: what it took.
        may_be_of_others: whether files that the process read before may have left it too little.
    """

    def __init__(self, reason: str, *, may_be_of_others: bool = False) -> None:
        super().__init__(reason)
        self.may_be_of_others = may_be_of_others


def _read_answer(pipe: IO[bytes], limits: ParserLimits) -> bytes:
    """Return what a process answers, if it does so in time and in few words enough."""
    deadline = time.monotonic() + limits.wall_s
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)

        def read_some(size: int) -> bytes:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                msg = f"took longer than {limits.wall_s:g} seconds to read"
                raise _OverLimitError(msg)
            return os.read(pipe.fileno(), size)

        reply = receive(read_some, max_bytes=limits.reply_bytes)
    if reply is None:
        msg = f"holds more than {limits.reply_bytes / _MEGABYTE:,.0f} MB of text"
        raise _OverLimitError(msg)
    return reply


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101  # each process is started with both
    return pipe


def _exit_status(process: subprocess.Popen[bytes]) -> int:
    """Return the status of a process that ends by itself, and end it where it does not."""
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _documents(reply: Mapping[str, Any]) -> list[Document]:
    if "error" in reply:
        raise (NoTextError if reply["error"] == "NoTextError" else DocumentError)(reply["message"])
    return [Document(page_content=text, metadata=metadata) for text, metadata in reply["documents"]]
