"""How long each step of a reply takes, and word of it to whoever listens to the run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableConfig

from chains.customer_service.schema import Route, ServiceEvent, StepTime

EVENT_NAME = "customer_service"


class Steps:
    """The steps of one reply so far; each, the route and the answer's parts are dispatched as custom events."""

    def __init__(self, config: RunnableConfig) -> None:
        self._config = config
        self._times: list[StepTime] = []
        self._said: list[str] = []

    @property
    def times(self) -> tuple[StepTime, ...]:
        """The steps that ended, in order."""
        return tuple(self._times)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        started = time.perf_counter()
        yield
        step = StepTime(name=name, milliseconds=1000 * (time.perf_counter() - started))
        self._times.append(step)
        self._tell({"step": step.name, "milliseconds": step.milliseconds})

    def take(self, route: Route) -> None:
        """Say which way the reply takes."""
        self._tell({"route": route})

    def say(self, text: str) -> None:
        """Say a part of the answer; the parts joined are the reply's text."""
        self._said.append(text)
        self._tell({"text": text})

    def finish(self, text: str) -> None:
        """Say what of the reply's text was not said yet."""
        if rest := text.removeprefix("".join(self._said)):
            self.say(rest)

    def _tell(self, event: ServiceEvent) -> None:
        dispatch_custom_event(EVENT_NAME, event, config=self._config)
