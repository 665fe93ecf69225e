"""Process of its own for work on what others wrote, limited in time, memory and output."""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Self

from llms.processes.limited_worker import MEMORY_EXIT
from llms.processes.pipes import opened, receive, send, worker_command

_MEGABYTE = 1_000_000
_END_S = 5  # for a process to notice that nobody asks any more


class OverLimitError(Exception):
    """Work that took more than its limits, or ended the process; its message says so without a subject.

    Args:
        reason: what it took.
        may_be_of_others: whether earlier work in the same process may have left it too little.
    """

    def __init__(self, reason: str, *, may_be_of_others: bool = False) -> None:
        super().__init__(reason)
        self.may_be_of_others = may_be_of_others


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """How much one request may take of the process that works on it.

    Attributes:
        wall_s: seconds of the clock, for work at which nothing is computed.
        memory_bytes: beyond what the process has when it is prepared.
        reply_bytes: of the answer.
    """

    wall_s: float
    memory_bytes: int
    reply_bytes: int


class LimitedProcess:
    """Does one kind of work in a process, one request after the other; the first one starts it.

    A request over a limit, or one that ends the process, is an error, and the next one has a new process. The process
    ends when this is closed, and with the program that started it, however that ends. Not for several threads at once.

    Args:
        prepare: a function as `module:name`, called once in the process with `arguments`; what it returns is called
            with each request, an object of JSON and bytes, and returns an object of JSON, with an "error" where the
            fault is one of the input.
        arguments: of `prepare`.
        limits: of each request.
    """

    def __init__(self, prepare: str, arguments: Sequence[str] = (), *, limits: WorkLimits) -> None:
        self._prepare = prepare
        self._arguments = tuple(arguments)
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._is_fresh = True  # nothing was done in it yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: Mapping[str, Any], raw: bytes = b"", *, cpu_s: int) -> Mapping[str, Any]:
        """Return the answer to a request.

        Args:
            request: an object of JSON.
            raw: what it is about.
            cpu_s: seconds of computing it may take; a busy machine makes all slower.

        Raises:
            OverLimitError: if it takes more than that, or than the limits.
        """
        while True:
            was_fresh = self._is_fresh
            try:
                answer = self._ask_once(request, raw, cpu_s)
            except OverLimitError as error:
                self._end()
                if was_fresh or not error.may_be_of_others:
                    raise
            except BaseException:  # such as an interrupt: this answer must not be taken for the next request's
                self._end()
                raise
            else:
                self._is_fresh = False
                return answer

    def close(self) -> None:
        """End the process if one was started; another request would start another one."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # the process ends where nobody asks any more
            _exit_status(self._process)
        self._end()

    def _ask_once(self, request: Mapping[str, Any], raw: bytes, cpu_s: int) -> Mapping[str, Any]:
        process = self._process = self._process or self._start()
        head = {"request": request, "cpu_s": cpu_s}
        try:
            for part in (json.dumps(head).encode(), raw):
                send(opened(process.stdin).fileno(), part)
            reply = _read_answer(opened(process.stdout), self._limits)
        except (BrokenPipeError, EOFError) as error:
            raise self._why_ended(_exit_status(process), cpu_s) from error
        answer: Mapping[str, Any] = json.loads(reply)
        if answer.get("is_full"):
            raise self._why_ended(MEMORY_EXIT, cpu_s)
        return answer

    def _why_ended(self, status: int, cpu_s: int) -> OverLimitError:
        if status == -signal.SIGXCPU:
            return OverLimitError(f"took longer than {cpu_s} seconds of computing")
        if status == MEMORY_EXIT:
            megabytes = self._limits.memory_bytes / _MEGABYTE
            return OverLimitError(f"took more than {megabytes:,.0f} MB of memory", may_be_of_others=True)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return OverLimitError(f"ended the process that works on it ({how})", may_be_of_others=True)

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_fresh = True
        return subprocess.Popen(  # noqa: S603
            worker_command(
                "llms.processes.limited_worker", self._prepare, str(self._limits.memory_bytes), *self._arguments
            ),
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
                opened(pipe).close()


def _read_answer(pipe: IO[bytes], limits: WorkLimits) -> bytes:
    """Return what a process answers, if it does so in time and in few words enough."""
    deadline = time.monotonic() + limits.wall_s
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)

        def read_some(size: int) -> bytes:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                msg = f"took longer than {limits.wall_s:g} seconds"
                raise OverLimitError(msg)
            return os.read(pipe.fileno(), size)

        reply = receive(read_some, max_bytes=limits.reply_bytes)
    if reply is None:
        msg = f"holds more than {limits.reply_bytes / _MEGABYTE:,.0f} MB of text"
        raise OverLimitError(msg)
    return reply


def _exit_status(process: subprocess.Popen[bytes]) -> int:
    """Return the status of a process that ends by itself, and end it where it does not."""
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
