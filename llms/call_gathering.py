"""Calls of several threads answered together by one model."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["CallGatherer"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Call(Generic[Item, Answer]):
    items: Sequence[Item]
    answers: Sequence[Answer] | None = None
    error: Exception | None = None

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

    Example:
        >>> gatherer = CallGatherer(lambda words: [word.upper() for word in words])
        >>> gatherer.call(["one", "two"])
        ['ONE', 'TWO']
    """

    def __init__(self, answer: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        self._answer = answer
        self._waiting: list[_Call[Item, Answer]] = []
        self._queue_lock = threading.Lock()
        self._model_lock = threading.Lock()

    def call(self, items: Sequence[Item]) -> Sequence[Answer]:
        """Return one answer per item, in their order.

        Raises:
            Exception: whatever `answer` raised for these items.
        """
        call: _Call[Item, Answer] = _Call(items)
        with self._queue_lock:
            self._waiting.append(call)
        with self._model_lock:
            if not call.is_done:
                self._answer_waiting(call)
        if call.answers is None:
            raise call.error or RuntimeError("a call was neither answered nor refused")
        return call.answers

    def _answer_waiting(self, own: _Call[Item, Answer]) -> None:
        with self._queue_lock:
            calls, self._waiting = self._waiting, []
        try:
            if len(calls) == 1 or not self._answer_together(calls):
                for call in calls:
                    self._answer_alone(call)
        finally:
            # an interrupt in this thread must not take the others' calls with it: the next thread finds them again
            with self._queue_lock:
                self._waiting = [call for call in calls if not call.is_done and call is not own] + self._waiting

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
