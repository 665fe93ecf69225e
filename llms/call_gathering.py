"""Calls of several threads answered together by one model."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Call(Generic[Item, Answer]):
    items: Sequence[Item]
    answers: Sequence[Answer] | None = None
    error: Exception | None = None
    leads: bool = False  # its thread has the model, or is about to
    wake: threading.Event = field(default_factory=threading.Event)

    @property
    def is_done(self) -> bool:
        return self.answers is not None or self.error is not None


class CallGatherer(Generic[Item, Answer]):
    """Gives what waits from all threads to the model in one pass, and each caller its own answers.

    Whoever gets the model next takes everything that waits by then, so a lone caller never waits for company, and
    no thread runs in the background. If a shared pass fails, its calls are made one by one: an error reaches only
    the caller whose items cause it.

    Args:
        answer: items -> one answer per item, in their order; never called by two threads at once.
        max_items: calls join a pass, first come first served, until it has so many items; None for no limit. Where
            larger passes are no faster by the item, nobody need wait for the items of all others.

    Example:
        >>> gatherer = CallGatherer(lambda words: [word.upper() for word in words])
        >>> gatherer.call(["one", "two"])
        ['ONE', 'TWO']
    """

    def __init__(self, answer: Callable[[Sequence[Item]], Sequence[Answer]], *, max_items: int | None = None) -> None:
        self._answer = answer
        self._max_items = max_items
        self._waiting: list[_Call[Item, Answer]] = []
        self._is_led = False
        self._lock = threading.Lock()  # held for a few statements, never while the model runs

    def call(self, items: Sequence[Item]) -> Sequence[Answer]:
        """Return one answer per item, in their order.

        Raises:
            Exception: whatever `answer` raised for these items.
        """
        call: _Call[Item, Answer] = _Call(items)
        with self._lock:
            self._waiting.append(call)
            if not self._is_led:
                self._is_led = call.leads = True
        try:
            if not call.leads:
                call.wake.wait()  # until it is answered, or its thread is to lead
            if not call.is_done:
                self._answer_waiting(call)
        finally:  # also if this thread is interrupted: the others must not wait for it
            self._leave(call)
        if call.answers is None:
            raise call.error or RuntimeError("a call was neither answered nor refused")
        return call.answers

    def _answer_waiting(self, own: _Call[Item, Answer]) -> None:
        with self._lock:
            count = self._pass_length()
            calls, self._waiting = self._waiting[:count], self._waiting[count:]
        try:
            if len(calls) == 1 or not self._answer_together(calls):
                for call in calls:
                    self._answer_alone(call)
        finally:
            with self._lock:  # after an interrupt, what is not answered is left to the next leader
                self._waiting = [call for call in calls if not call.is_done and call is not own] + self._waiting
            for call in calls:
                if call.is_done:
                    call.wake.set()

    def _pass_length(self) -> int:
        """Return how many of the waiting calls make the next pass: the leader's, which came first, and what fits."""
        if self._max_items is None:
            return len(self._waiting)
        num_items = 0
        for index, call in enumerate(self._waiting):
            num_items += len(call.items)
            if index > 0 and num_items > self._max_items:
                return index
        return len(self._waiting)

    def _leave(self, call: _Call[Item, Answer]) -> None:
        """Take a call out, and hand the lead to the first one that waits."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            if not call.leads:
                return
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].wake.set()

    def _answer_together(self, calls: Sequence[_Call[Item, Answer]]) -> bool:
        try:
            answers = self._answer([item for call in calls for item in call.items])
        except Exception:  # whose items caused it is found out one by one
            return False
        begin = 0
        for call in calls:
            call.answers = answers[begin : begin + len(call.items)]
            begin += len(call.items)
        return True

    def _answer_alone(self, call: _Call[Item, Answer]) -> None:
        try:
            call.answers = self._answer(call.items)
        except Exception as error:  # it belongs to the caller, which may be another thread
            call.error = error
