"""Interface of the engines that generate tokens, and the one thread behind each of them."""

import atexit
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from llms.engines.adapters import Adapter
from llms.engines.constraint_limits import check_constraint
from llms.engines.memory import give_memory_back
from llms.engines.requests import FinishReason, GenerationRequest, Job, Step, TokenEvent
from llms.errors import (
    ContextOverflowError,
    EngineBusyError,
    EngineError,
    GenerationTimeoutError,
    InputTextError,
    TuneChainError,
)

T = TypeVar("T")
_GATHER_S = 0.05  # how long announced requests wait for each other at most
_GIVE_BACK_EVERY_S = 2.0
_IDLE_S = 5.0  # an engine without work lets its thread end, so that a forgotten engine can be freed


class Ticket:
    """The caller's side of a request."""

    def __init__(self, job: Job, engine: "Engine") -> None:
        self._job = job
        self._engine = engine

    def cancel(self) -> None:
        """End the request within one further token; its last event says "cancelled". Safe to call at any time."""
        self._job.is_cancelled = True
        self._engine.wake()


class Engine(ABC):
    """Requests in, token events out; requests of all threads and event loops are worked on together.

    One thread per engine does all the work. A subclass says how to start requests, take one step with all that
    run, and forget one. What it raises while it starts a request fails that request alone.

    Attributes:
        name: what users call the engine.
        context_tokens: how many tokens prompt and answer may have together.
        end_ids: the tokens that end an answer.
        max_running: requests worked on at the same time.
        max_waiting: requests that may wait beside them; one more is refused.
    """

    name: str

    def __init__(
        self, *, context_tokens: int, end_ids: frozenset[int], max_running: int = 32, max_waiting: int = 64
    ) -> None:
        self.context_tokens = context_tokens
        self.end_ids = end_ids
        self.max_running = max_running
        self.max_waiting = max_waiting
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._num_expected = 0
        self._gather_until = 0.0
        self._gave_back_at = time.monotonic()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        _ENGINES.add(self)

    def submit(self, request: GenerationRequest, deliver: Callable[[TokenEvent], None]) -> Ticket:
        """Queue a request and return at once.

        Args:
            deliver: called on the engine's thread with each event; it must be quick. An event with a finish
                reason or an error always comes, exactly once, and nothing after it.

        Raises:
            InputTextError: if the prompt is empty.
            ContextOverflowError: if prompt and answer do not fit into the context.
            ConstraintError: if the constraint is too large, or no answer can match it.
            EngineBusyError: if too many requests wait already.
        """
        self.check_room(request)
        if request.constraint is not None:
            check_constraint(request.constraint)
        self.check_request(request)
        timeout_s = request.options.timeout_s
        job = Job(request, deliver, deadline=time.monotonic() + timeout_s if timeout_s else float("inf"))
        with self._changed:
            if self.num_active >= self.max_running + self.max_waiting:
                msg = (
                    f"{len(self._running)} requests run and {len(self._waiting)} wait already, "
                    f"at most {self.max_waiting} may; try again later or ask less at a time"
                )
                raise EngineBusyError(msg)
            self._waiting.append(job)
            self._num_expected = max(0, self._num_expected - 1)
            self._start_thread()
        return Ticket(job, self)

    def expect(self, num_requests: int) -> None:
        """Say that so many requests are about to come, so that they begin together: prompts run at once cost less.

        None of them waits longer than 50 ms for the others.
        """
        if num_requests < 2:
            return
        with self._changed:
            self._num_expected = min(num_requests, self.max_running)
            self._gather_until = time.monotonic() + _GATHER_S

    def check_room(self, request: GenerationRequest) -> None:
        """Refuse a request that cannot fit, before any work is done for it."""
        size, limit = len(request.prompt_ids), request.options.max_new_tokens
        if not size:
            msg = "the prompt is empty, there is nothing to continue; pass at least one character"
            raise InputTextError(msg)
        if size + limit > self.context_tokens:
            msg = (
                f"prompt ({size} tokens) and answer (up to {limit}) need {size + limit} tokens, "
                f"the model takes {self.context_tokens}; shorten the prompt or lower max_tokens"
            )
            raise ContextOverflowError(msg)

    @abstractmethod
    def check_request(self, request: GenerationRequest) -> None:
        """Refuse what this engine cannot do, on the caller's thread, with an error that says so.

        Raises:
            UnsupportedOptionError: if an option, the adapter or the constraint is not offered here.
            ConstraintError: if no answer can match the constraint.
        """

    @abstractmethod
    def score(
        self,
        prompt_ids: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        adapter: Adapter | None = None,
        cache_salt: str = "",
    ) -> list[float]:
        """Return the log probability of each continuation after the prompt, end token not included.

        Args:
            cache_salt: as of a `GenerationRequest`.
        """

    def wake(self) -> None:
        """Let the engine's thread look at its queue again."""
        with self._changed:
            self._changed.notify_all()

    def run_between_steps(self, task: Callable[[], T]) -> "Future[T]":
        """Run `task` on the engine's thread, between two steps, and return its future."""
        future: Future[T] = Future()
        with self._changed:
            self._tasks.append((task, future))
            self._start_thread()
        return future

    @property
    def num_active(self) -> int:
        """Requests that run or wait."""
        return len(self._running) + len(self._waiting)

    def close(self) -> None:
        """Cancel all requests and end the thread; the engine starts again with the next request."""
        with self._changed:
            for job in (*self._waiting, *self._running):
                job.is_cancelled = True
            thread = self._thread
            self._changed.notify_all()
        deadline = time.monotonic() + _IDLE_S
        while thread and self.num_active and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)

    # what a subclass brings; all of it runs on the engine's thread

    @abstractmethod
    def has_room(self, job: Job) -> bool:
        """Whether the job can start now; if not it waits, and so do all after it."""

    @abstractmethod
    def start(self, job: Job) -> Step | None:
        """Take the job in; return its first token if that is known by then."""

    @abstractmethod
    def step(self, jobs: Sequence[Job]) -> Iterable[tuple[Job, Step]]:
        """Advance the running jobs and return what is new, at least one token within a bounded time."""

    @abstractmethod
    def forget(self, job: Job) -> None:
        """Free all that is held for a job that has ended."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all jobs after a step failed."""

    # the thread

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"{self.name}-engine", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while self._await_work():
            try:
                self._run_tasks()
                self._drop_ended()
                self._start_waiting()
                if self._running:
                    self._take_step()
                self._give_memory_back()
            except Exception as error:  # nobody may wait for ever
                self._fail_all(error)

    def _await_work(self) -> bool:
        """Return once there is something to do, or False if there was nothing for a while."""
        with self._changed:
            if not (self._waiting or self._running or self._tasks):
                self._changed.wait(timeout=_IDLE_S)
            while self._waiting and not (self._running or self._tasks) and (gather_s := self._gather_s()) > 0:
                self._changed.wait(timeout=gather_s)
            has_work = bool(self._waiting or self._running or self._tasks)
            if not has_work:
                self._thread = None
            return has_work

    def _gather_s(self) -> float:
        """Return how long the waiting requests should wait for those announced."""
        return self._gather_until - time.monotonic() if self._num_expected else 0.0

    def _give_memory_back(self) -> None:
        if time.monotonic() - self._gave_back_at > _GIVE_BACK_EVERY_S:
            give_memory_back()
            self._gave_back_at = time.monotonic()

    def _run_tasks(self) -> None:
        while self._tasks:
            task, future = self._tasks.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(task())
            except Exception as error:  # whoever waits for the future gets it
                future.set_exception(_as_engine_error(error))

    def _drop_ended(self) -> None:
        now = time.monotonic()
        with self._changed:
            jobs = [*self._running, *self._waiting]
        for job in [job for job in jobs if job.is_cancelled or job.deadline < now]:
            if job.is_cancelled:
                self._end(job, finish_reason="cancelled")
            else:
                msg = f"the answer was not complete after {job.request.options.timeout_s} s; raise timeout"
                self._end(job, error=GenerationTimeoutError(msg))

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.max_running:
            job = self._waiting[0]
            if job.is_cancelled:
                self._end(job, finish_reason="cancelled")
                continue
            if not self.has_room(job):
                return
            with self._changed:
                self._waiting.popleft()
                self._running.append(job)
            try:
                first = self.start(job)
            except Exception as error:  # this request's own error goes to its caller
                self._end(job, error=_as_engine_error(error))
            else:
                if first is not None:
                    self._note(job, first)
                    self._deliver_new(job)

    def _take_step(self) -> None:
        steps = list(self.step(self._running))
        for job, step in steps:
            self._note(job, step)
        for job in {id(job): job for job, _ in steps}.values():
            self._deliver_new(job)

    def _fail_all(self, error: Exception) -> None:
        failed, self._running = self._running, []
        self.reset()
        for job in failed:
            self._deliver(job, finish_reason=None, error=_as_engine_error(error))

    def _note(self, job: Job, step: Step) -> None:
        if job not in self._running:  # it ended earlier in this very step
            return
        reason = step.finish_reason
        if step.token_id is not None:
            job.ids.append(step.token_id)
            if job.first_token_at is None:
                job.first_token_at = time.perf_counter()
            if step.score is not None:
                job.scores.append(step.score)
            reason = reason or self._reason_to_end(job, step.token_id)
        if step.error is not None:
            self._end(job, error=_as_engine_error(step.error))
        elif reason is not None:
            self._end(job, finish_reason=reason)

    @staticmethod
    def _reason_to_end(job: Job, token_id: int) -> FinishReason | None:
        if job.request.is_stop is not None and job.request.is_stop(token_id):
            return "stop"
        return "length" if len(job.ids) >= job.request.options.max_new_tokens else None

    def _deliver_new(self, job: Job) -> None:
        if job.request.wants_pieces and job in self._running and len(job.ids) > job.num_delivered:
            self._deliver(job, finish_reason=None, error=None)

    def _end(self, job: Job, *, finish_reason: FinishReason | None = None, error: Exception | None = None) -> None:
        with self._changed:
            is_running = job in self._running
            (self._running if is_running else self._waiting).remove(job)
        if is_running:
            self.forget(job)
        self._deliver(job, finish_reason=finish_reason, error=error)

    def _deliver(self, job: Job, *, finish_reason: FinishReason | None, error: Exception | None) -> None:
        new = slice(job.num_delivered, None)
        job.num_delivered = len(job.ids)
        event = TokenEvent(
            ids=tuple(job.ids[new]),
            scores=tuple(job.scores[new]),
            finish_reason=finish_reason,
            error=error,
            num_cached_tokens=job.num_cached_tokens,
            first_token_at=job.first_token_at,
        )
        try:
            job.deliver(event)
        except Exception:  # the caller is gone (its event loop closed); the others must go on
            job.is_cancelled = True


def _as_engine_error(error: Exception) -> TuneChainError:
    """Return our own errors as they are, others wrapped: each caller gets an error object of its own."""
    if isinstance(error, TuneChainError):
        return error
    wrapped = EngineError(f"the engine broke at work: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


_ENGINES: "weakref.WeakSet[Engine]" = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    # a native library must not be at work while the interpreter shuts down
    for engine in list(_ENGINES):
        engine.close()
