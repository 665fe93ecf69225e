"""Engine whose model runs in a process of its own, watched over and started again where it ends, hangs or overflows."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import os
import queue
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import override

from llms.engines.adapters import Adapter
from llms.engines.choosing import EngineOptions
from llms.engines.constraint_limits import check_constraint
from llms.engines.constraints import FreeText
from llms.engines.engine import Engine, Ticket
from llms.engines.process_backend.messages import (
    PULSE_S,
    Message,
    decode,
    encode,
    error_of,
    event_of,
    request_message,
)
from llms.engines.requests import GenerationRequest, TokenEvent, TokenScore
from llms.errors import EngineError, EngineStoppedError
from llms.loading import folder_stamp
from llms.processes.pipes import MessageReader, opened, send, worker_command

_log = logging.getLogger(__name__)

_MEGABYTE = 1_000_000
_END_S = 5.0  # for a process to notice that nobody asks any more
_LONGEST_PAUSE_S = 60.0  # between two tries to start a process that does not start
_OPENING = threading.Lock()  # two threads that ask at once must not both start a process


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """When a model's process is ended and started again.

    Attributes:
        start_s: seconds until the model is loaded; the first time a large one is exported, which takes minutes.
        silence_s: seconds without any sign, as from a library that holds the interpreter.
        step_s: seconds without a step while requests run; a step takes a whole prompt on some engines.
        memory_bytes: resident memory at most, where the system tells it (Linux); None for no ceiling.
    """

    start_s: float = 1800.0
    silence_s: float = 60.0
    step_s: float = 600.0
    memory_bytes: int | None = None


class ProcessEngine(Engine):
    """The engine that `open_engine` chooses, in a process that holds no state but the model.

    A process that ends, hangs or takes too much memory is replaced: requests that ran get an `EngineStoppedError`, and
    so do new ones until the model is loaded again.

    Args:
        folder: of the model.
        options: which engine, and how.
        limits: when the process is replaced.
        worker: the module that runs in the process; its `main` speaks as `messages` says.

    Attributes:
        reason: why this engine runs the model.

    Raises:
        TuneChainError: as `open_engine`, if the model cannot be run.
    """

    def __init__(
        self,
        folder: Path,
        options: EngineOptions,
        *,
        limits: ProcessLimits | None = None,
        worker: str = "llms.engines.process_backend.worker",
    ) -> None:
        self._worker = worker
        self._folder = folder
        self._options = options
        self._limits = limits or ProcessLimits()
        self._numbers = itertools.count()
        self._jobs: dict[int, _Job] = {}
        self._scores: dict[int, Future[list[float]]] = {}
        self._changing = threading.RLock()  # of the two above, and of the process
        self._process: _Process | None = None
        ready = self._start(instead_of=None)
        super().__init__(
            context_tokens=ready["context_tokens"],
            end_ids=frozenset(ready["end_ids"]),
            max_running=ready["max_running"],
            max_waiting=ready["max_waiting"],
        )
        self.name = ready["name"]
        self.reason: str = ready["reason"]

    @override
    def submit(self, request: GenerationRequest, deliver: Callable[[TokenEvent], None]) -> Ticket:
        self.check_room(request)
        if request.constraint is not None and not isinstance(request.constraint, FreeText):  # the process leaves it out
            check_constraint(request.constraint)
        number = next(self._numbers)
        wants_pieces = request.wants_pieces or request.is_stop is not None
        message = request_message(number, request, wants_pieces=wants_pieces)
        with self._changing:
            self.check_queue()
            process = self._ready_process()
            self._jobs[number] = _Job(request, deliver)
        process.tell(message)
        return Ticket(functools.partial(self._cancel, number))

    @override
    def expect(self, num_requests: int) -> None:
        if num_requests > 1:
            self._ready_process().tell({"do": "expect", "num_requests": num_requests})

    @override
    def score(
        self,
        prompt_ids: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        adapter: Adapter | None = None,
        cache_salt: str = "",
    ) -> list[float]:
        future: Future[list[float]] = Future()
        number = next(self._numbers)
        with self._changing:
            process = self._ready_process()
            self._scores[number] = future
        process.tell(
            {
                "do": "score",
                "number": number,
                "prompt_ids": list(prompt_ids),
                "continuations": [list(continuation) for continuation in continuations],
                "adapter": None if adapter is None else str(adapter.folder),
                "cache_salt": cache_salt,
            }
        )
        return future.result()

    @property
    @override
    def num_active(self) -> int:
        return len(self._jobs)

    @property
    @override
    def is_ready(self) -> bool:
        process = self._process
        return process is None or process.is_ready  # without a process, the next request starts one

    @override
    def close(self) -> None:
        with self._changing:
            process, self._process = self._process, None
            jobs, scores = self._take_all()
        for job in jobs:
            job.end(TokenEvent(finish_reason="cancelled"))
        for future in scores:
            future.set_exception(EngineStoppedError("the engine was closed"))
        if process is not None:
            process.end()

    # the process

    def _ready_process(self) -> "_Process":
        with self._changing:
            if self._process is None:  # it was closed
                self._start(instead_of=None)
            process = self._process
        if process is None or not process.is_ready:
            msg = "the model's process is being started again; ask again in some seconds"
            raise EngineStoppedError(msg)
        return process

    def _start(self, *, instead_of: "_Process | None") -> Message:
        """Start a process, wait until the model is loaded, watch over it, and return what it says of the engine."""
        process = _Process(self._worker)
        try:
            ready = process.open(self._folder, self._options, timeout_s=self._limits.start_s)
        except BaseException:
            process.end(at_once=True)
            process.close()
            raise
        with self._changing:
            if self._process is instead_of:  # else it was closed meanwhile, which the watch sees
                self._process = process
        threading.Thread(
            target=_watch, args=(weakref.ref(self), process), name=f"watch-{ready['name']}", daemon=True
        ).start()
        return ready

    def _start_again(self, process: "_Process") -> bool:
        """Start another process for one that ended; return whether it runs."""
        try:
            self._start(instead_of=process)
        except Exception as error:  # whatever it is, it is tried again
            _log.error("the model's process could not be started again: %s", error)
            return False
        _log.warning("the model's process runs again")
        return True

    def _take(self, process: "_Process", message: Message) -> None:
        match message["is"]:
            case "event":
                self._take_event(message["number"], event_of(message))
            case "scores":
                future = self._scores.pop(message["number"], None)
                if future is not None and message["error"] is None:
                    future.set_result(message["scores"])
                elif future is not None:
                    future.set_exception(error_of(message["error"]))
            case "pulse":
                process.steps.note(message["num_steps"], is_busy=bool(self._jobs) and not self._scores)

    def _take_event(self, number: int, event: TokenEvent) -> None:
        job = self._jobs.get(number)
        if job is None:  # it ended here already
            return
        was_last = event.is_last
        if job.take(event):
            self._jobs.pop(number, None)
            if not was_last:
                self._cancel_in_process(number)

    def _cancel(self, number: int) -> None:
        if number in self._jobs:
            self._cancel_in_process(number)

    def _cancel_in_process(self, number: int) -> None:
        process = self._process
        if process is not None:
            process.tell({"do": "cancel", "number": number})

    def _take_all(self) -> "tuple[list[_Job], list[Future[list[float]]]]":
        jobs, scores = list(self._jobs.values()), list(self._scores.values())
        self._jobs.clear()
        self._scores.clear()
        return jobs, scores

    def _lose(self, process: "_Process", reason: str) -> None:
        """End a process, tell all who wait, and leave it to the watch to start another one."""
        process.is_ready = False
        process.end(at_once=True)
        with self._changing:
            jobs, scores = self._take_all()
        _log.error("the model's process %s; %d requests were lost, it is started again", reason, len(jobs))
        msg = f"the model's process {reason} before the answer was complete; ask again in some seconds"
        for job in jobs:
            job.end(TokenEvent(error=EngineStoppedError(msg)))
        for future in scores:
            future.set_exception(EngineStoppedError(msg))


def open_process_engine(folder: Path, options: EngineOptions, limits: ProcessLimits) -> ProcessEngine:
    """Return the engine for a model folder in a process of its own; the same files and options share one.

    Raises:
        TuneChainError: as `open_engine`.
    """
    with _OPENING:
        return _open_process_engine(folder, folder_stamp(folder), options, limits)


@functools.lru_cache(maxsize=4)
def _open_process_engine(folder: Path, _stamp: object, options: EngineOptions, limits: ProcessLimits) -> ProcessEngine:
    return ProcessEngine(folder, options, limits=limits)


def _watch(engine_ref: "weakref.ref[ProcessEngine]", process: "_Process") -> None:
    """Take what a process says until it ends, then start another one; end it where its engine is forgotten."""
    while True:
        try:
            messages, reason = process.read(timeout_s=PULSE_S), ""
        except EOFError:
            messages, reason = [], process.why_ended()
        engine = engine_ref()
        if engine is None or engine._process is not process:
            process.end()
            process.close()
            return
        for message in messages:
            engine._take(process, message)
        if reason := reason or process.why_to_end(engine._limits):
            engine._lose(process, reason)
            del engine
            process.close()
            _start_again(engine_ref, process)
            return
        del engine


def _start_again(engine_ref: "weakref.ref[ProcessEngine]", process: "_Process") -> None:
    pause_s = 1.0
    while (engine := engine_ref()) is not None and engine._process is process:
        if engine._start_again(process):
            return
        del engine  # a forgotten engine needs no process
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class StepWatch:
    """How long an engine has taken no step although it had work.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_steps = 0
        self._since = clock()

    def note(self, num_steps: int, *, is_busy: bool) -> None:
        """Take down how many steps there have been, and whether there is work."""
        if num_steps != self._num_steps or not is_busy:
            self._num_steps, self._since = num_steps, self._clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the last step, or since there was no work."""
        return self._clock() - self._since


class _Process:
    """One process of an engine, and the two pipes to it."""

    def __init__(self, worker: str) -> None:
        self._popen = subprocess.Popen(  # noqa: S603
            worker_command(worker),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # an interrupt at the terminal is for the program, which ends this one
        )
        self.is_ready = False
        self._reader = MessageReader(opened(self._popen.stdout).fileno())
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard_at = time.monotonic()
        self.steps = StepWatch()
        threading.Thread(target=self._write, daemon=True).start()

    def open(self, folder: Path, options: EngineOptions, *, timeout_s: float) -> Message:
        """Return what the process says of its engine once the model is loaded.

        Raises:
            TuneChainError: if it cannot be.
        """
        self.tell({"do": "open", "folder": str(folder), "options": dataclasses.asdict(options)})
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                messages = self.read(timeout_s=PULSE_S)
            except EOFError:
                msg = f"the model's process {self.why_ended()} while it loaded {folder}"
                raise EngineError(msg) from None
            if messages and messages[0]["is"] == "failed":
                raise error_of(messages[0]["error"])
            if messages:
                self.is_ready = True
                return messages[0]
        msg = f"the model in {folder} was not loaded after {timeout_s:g} seconds"
        raise EngineError(msg)

    def tell(self, message: Message) -> None:
        """Send a message; nobody waits until it is read."""
        self._outbox.put(encode(message))

    def read(self, *, timeout_s: float) -> list[Message]:
        """Return what it has said, also nothing if that is so.

        Raises:
            EOFError: if it has ended.
        """
        messages = [decode(content) for content in self._reader.read(timeout_s=timeout_s)]
        if messages:
            self._heard_at = time.monotonic()
        return messages

    def why_to_end(self, limits: ProcessLimits) -> str:
        """Return why this process has to end; nothing if it may go on."""
        if time.monotonic() - self._heard_at > limits.silence_s:
            return f"gave no sign for {limits.silence_s:g} seconds"
        if self.steps.idle_s > limits.step_s:
            return f"took no step for {limits.step_s:g} seconds"
        if limits.memory_bytes is not None and self._resident_bytes() > limits.memory_bytes:
            return f"took more than {limits.memory_bytes / _MEGABYTE:,.0f} MB of memory"
        return ""

    def why_ended(self) -> str:
        """Return how a process that has closed its pipe ended."""
        try:
            status = self._popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def end(self, *, at_once: bool = False) -> None:
        """End the process, by itself if it does so in time."""
        self._outbox.put(None)
        if not at_once:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_END_S)
        self._popen.kill()
        self._popen.wait()

    def close(self) -> None:
        """Close the pipe that is read, once nobody reads it."""
        opened(self._popen.stdout).close()

    def _resident_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self._popen.pid}/statm").read_text("ascii").split()[1]
        except OSError:  # another system than Linux, or it has just ended
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _write(self) -> None:
        pipe = opened(self._popen.stdin)
        with pipe, contextlib.suppress(BrokenPipeError):  # whoever reads its answers notices that it has ended
            while (content := self._outbox.get()) is not None:
                send(pipe.fileno(), content)


@dataclass(slots=True, eq=False)
class _Job:
    """A request whose events come from another process, and what of them is not delivered yet."""

    request: GenerationRequest
    deliver: Callable[[TokenEvent], None]
    ids: list[int] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)
    is_gone: bool = False

    def take(self, event: TokenEvent) -> bool:
        """Take in what is new, deliver what is wanted, and return whether the request has ended."""
        event = self._up_to_stop(event)
        self.ids += event.ids
        self.scores += event.scores
        if event.is_last or self.request.wants_pieces:
            self.end(event)
        return event.is_last or self.is_gone

    def end(self, event: TokenEvent) -> None:
        """Deliver what there is, as the event says."""
        whole = replace(event, ids=tuple(self.ids), scores=tuple(self.scores))
        self.ids, self.scores = [], []
        try:
            self.deliver(whole)
        except Exception:  # the caller is gone (its event loop closed); the others must go on
            self.is_gone = True

    def _up_to_stop(self, event: TokenEvent) -> TokenEvent:
        if self.request.is_stop is None:
            return event
        for num_ids, token_id in enumerate(event.ids, start=1):
            if self.request.is_stop(token_id):
                return replace(
                    event, ids=event.ids[:num_ids], scores=event.scores[:num_ids], finish_reason="stop", error=None
                )
        return event
