"""Steps of one reply: how long each took, and the custom events that tell of them."""

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
        self._published: list[str] = []

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
        self._dispatch({"step": step.name, "milliseconds": step.milliseconds})

    def publish_route(self, route: Route) -> None:
        """Dispatch the route that the reply takes."""
        self._dispatch({"route": route})

    def publish_text(self, text: str) -> None:
        """Dispatch a part of the answer; the parts joined are the reply's text."""
        self._published.append(text)
        self._dispatch({"text": text})

    def publish_rest(self, text: str) -> None:
        """Dispatch what of the reply's text was not dispatched yet."""
        if rest := text.removeprefix("".join(self._published)):
            self.publish_text(rest)

    def _dispatch(self, event: ServiceEvent) -> None:
        dispatch_custom_event(EVENT_NAME, event, config=self._config)
