"""Inside of an engine's process: opens the engine, takes requests from its input, answers with their events."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llms.engines.choosing import EngineOptions, open_engine
from llms.engines.engine import Engine, Ticket
from llms.engines.process_backend.messages import (
    PULSE_S,
    Message,
    adapter_of,
    decode,
    encode,
    error_to_json,
    event_message,
    request_of,
)
from llms.engines.requests import TokenEvent
from llms.engines.step_engine import StepEngine
from llms.errors import TuneChainError
from llms.loading import open_tokenizer
from llms.processes.pipes import receive, send

_NUM_COMPILING = 2  # requests whose constraints are compiled, or continuations scored, at the same time
_OOM_SCORE = Path("/proc/self/oom_score_adj")  # of Linux, where memory ends


def main() -> None:
    """Answer until the input ends, which it also does when the process at its other end is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    if _OOM_SCORE.exists():
        _OOM_SCORE.write_text("500", "ascii")  # the system ends this process before the one that holds state
    _Worker(answers).run()


class _Worker:
    """Requests of one engine by number.

    Args:
        answers: the file descriptor that messages are written to.
    """

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self._tickets: dict[int, Ticket | None] = {}  # of requests that have not ended; None before they are submitted
        self._cancelled: set[int] = set()  # of those the ones that were cancelled before
        self._changing = threading.Lock()  # of the two above
        self._pool = ThreadPoolExecutor(_NUM_COMPILING)

    def run(self) -> None:
        engine = self._open(self._next_message())
        if engine is None:
            return
        threading.Thread(target=self._tell_pulse, args=(engine,), daemon=True).start()
        while True:
            self._do(engine, self._next_message())

    def _next_message(self) -> Message:
        try:
            content = receive(lambda size: os.read(0, size), max_bytes=sys.maxsize)
        except EOFError:  # nobody asks any more
            os._exit(0)
        assert content is not None  # noqa: S101  # no message is longer than that
        return decode(content)

    def _open(self, message: Message) -> StepEngine | None:
        folder = Path(message["folder"])
        try:
            engine, reason = open_engine(folder, open_tokenizer(folder), EngineOptions(**message["options"]))
        except TuneChainError as error:
            self._tell({"is": "failed", "error": error_to_json(error)})
            return None
        assert isinstance(engine, StepEngine)  # noqa: S101  # the options never ask for a further process
        self._tell(
            {
                "is": "ready",
                "name": engine.name,
                "reason": reason,
                "context_tokens": engine.context_tokens,
                "end_ids": sorted(engine.end_ids),
                "max_running": engine.max_running,
                "max_waiting": engine.max_waiting,
            }
        )
        return engine

    def _do(self, engine: Engine, message: Message) -> None:
        match message["do"]:
            case "generate":
                with self._changing:
                    self._tickets[message["number"]] = None
                if message["constraint"] is None:
                    self._generate(engine, message)
                else:
                    self._pool.submit(self._generate, engine, message)
            case "score":
                self._pool.submit(self._score, engine, message)
            case "expect":
                engine.expect(message["num_requests"])
            case "cancel":
                self._cancel(message["number"])

    def _generate(self, engine: Engine, message: Message) -> None:
        number: int = message["number"]
        try:
            ticket = engine.submit(request_of(message), self._deliver(number))
        except Exception as error:  # of this request alone
            self._tell(event_message(number, TokenEvent(error=error)))
            self._forget(number)
            return
        with self._changing:
            if number in self._tickets:  # it has not ended meanwhile
                self._tickets[number] = ticket
            is_cancelled = number in self._cancelled
        if is_cancelled:
            ticket.cancel()

    def _deliver(self, number: int) -> Callable[[TokenEvent], None]:
        def deliver(event: TokenEvent) -> None:
            self._tell(event_message(number, event))
            if event.is_last:
                self._forget(number)

        return deliver

    def _cancel(self, number: int) -> None:
        with self._changing:
            ticket = self._tickets.get(number)
            if ticket is None and number in self._tickets:
                self._cancelled.add(number)
        if ticket is not None:
            ticket.cancel()

    def _forget(self, number: int) -> None:
        with self._changing:
            self._tickets.pop(number, None)
            self._cancelled.discard(number)

    def _score(self, engine: Engine, message: Message) -> None:
        answer: Message = {"is": "scores", "number": message["number"], "scores": [], "error": None}
        try:
            answer["scores"] = engine.score(
                message["prompt_ids"],
                message["continuations"],
                adapter=adapter_of(message),
                cache_salt=message["cache_salt"],
            )
        except Exception as error:  # of this call alone
            answer["error"] = error_to_json(error)
        self._tell(answer)

    def _tell_pulse(self, engine: StepEngine) -> None:
        while True:
            self._tell({"is": "pulse", "num_steps": engine.num_steps})
            time.sleep(PULSE_S)

    def _tell(self, message: Message) -> None:
        with self._writing:
            try:
                send(self._answers, encode(message))
            except BrokenPipeError:  # nobody reads the answers any more
                os._exit(0)
