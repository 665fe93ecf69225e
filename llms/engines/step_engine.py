"""An engine of one thread, which takes a step with all running requests at a time."""

import functools
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from typing_extensions import override

from llms.engines.constraint_limits import check_constraint
from llms.engines.constraints import FreeText
from llms.engines.engine import Engine, Ticket
from llms.engines.memory import give_memory_back
from llms.engines.requests import FinishReason, GenerationRequest, Job, Step, TokenEvent
from llms.errors import ConstraintError, EngineError, GenerationTimeoutError, TuneChainError, UnsupportedOptionError

T = TypeVar("T")
_GATHER_S = 0.05  # how long announced requests wait for each other at most
_GIVE_BACK_EVERY_S = 2.0
_IDLE_S = 5.0  # an engine without work lets its thread end, so that a forgotten engine can be freed


class StepEngine(Engine):
    """One thread does all the work.

    A subclass says how to start requests, take one step with all that run, and forget one. What it raises while it
    starts a request fails that request alone.

    Attributes:
        num_steps: steps taken so far; while requests run, one that stays the same is of an engine that hangs.
    """

    def __init__(
        self, *, context_tokens: int, end_ids: frozenset[int], max_running: int = 32, max_waiting: int = 64
    ) -> None:
        super().__init__(
            context_tokens=context_tokens, end_ids=end_ids, max_running=max_running, max_waiting=max_waiting
        )
        self.num_steps = 0
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._num_expected = 0
        self._gather_until = 0.0
        self._gave_back_at = time.monotonic()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @override
    def submit(self, request: GenerationRequest, deliver: Callable[[TokenEvent], None]) -> Ticket:
        self.check_room(request)
        request = self._with_checked_constraint(request)
        timeout_s = request.options.timeout_s
        job = Job(request, deliver, deadline=time.monotonic() + timeout_s if timeout_s else float("inf"))
        with self._changed:
            self.check_queue()
            self._waiting.append(job)
            self._num_expected = max(0, self._num_expected - 1)
            self._start_thread()
        return Ticket(functools.partial(self._cancel, job))

    def _with_checked_constraint(self, request: GenerationRequest) -> GenerationRequest:
        """Return the request if it can be honoured; calls in free text are made whole only where that can be done."""
        try:
            if request.constraint is not None:
                check_constraint(request.constraint)
            self.check_request(request)
        except (ConstraintError, UnsupportedOptionError):
            if not isinstance(request.constraint, FreeText):
                raise
            request = replace(request, constraint=None)
            self.check_request(request)
        return request

    @override
    def expect(self, num_requests: int) -> None:
        if num_requests < 2:
            return
        with self._changed:
            self._num_expected = min(num_requests, self.max_running)
            self._gather_until = time.monotonic() + _GATHER_S

    @abstractmethod
    def check_request(self, request: GenerationRequest) -> None:
        """Refuse what this engine cannot do, on the caller's thread, with an error that says so.

        Raises:
            UnsupportedOptionError: if an option, the adapter or the constraint is not offered here.
            ConstraintError: if no answer can match the constraint.
        """

    def run_between_steps(self, task: Callable[[], T]) -> "Future[T]":
        """Run `task` on the engine's thread, between two steps, and return its future."""
        future: Future[T] = Future()
        with self._changed:
            self._tasks.append((task, future))
            self._start_thread()
        return future

    @property
    @override
    def num_active(self) -> int:
        return len(self._running) + len(self._waiting)

    @override
    def close(self) -> None:
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

    def _cancel(self, job: Job) -> None:
        job.is_cancelled = True
        with self._changed:
            self._changed.notify_all()

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
        self.num_steps += 1
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
