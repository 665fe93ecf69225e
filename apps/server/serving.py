"""What the server holds while it runs: the chains, the live monitor, and the places at the models."""

import asyncio
import contextlib
import logging
from typing import Any

from apps.recorded_stream import RecordedStream
from apps.server.admission import Admission
from apps.server.agent_inbox import ServiceDesk, open_desk
from apps.server.chains import SCENARIOS, Chains, build_chains
from apps.server.monitor_service import LiveMonitor
from apps.server.problems import ProblemError
from apps.server.schemas import Health, ScenarioHealth
from apps.settings import Settings
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)


class Serving:
    """The state of one server, from start to stop.

    Args:
        settings: of the workspace that is served.
        chains: what to serve; without them they are built from the settings, which takes a while.
        admission: how many model calls run and wait.
        turn: held while the chains are built.
    """

    def __init__(self, settings: Settings, *, chains: Chains | None, admission: Admission, turn: asyncio.Lock) -> None:
        self.settings = settings
        self.admission = admission
        self._turn = turn
        self._given = chains
        self._chains: Chains | None = None
        self._live: LiveMonitor | None = None
        self._desk: ServiceDesk | None = None
        self._open = contextlib.ExitStack()
        self._building: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to build; chains that were passed in are ready at once, others some time after."""
        if self._given is not None:
            await asyncio.to_thread(self._use, self._given)
        else:
            self._building = asyncio.create_task(self._build())

    async def stop(self) -> None:
        """End the threads of this server; what waits for its turn to be built is not built any more."""
        self._stopping = True
        if self._building is not None:
            await asyncio.wait([self._building])  # a thread that loads a model cannot be interrupted
        if self._live is not None:
            await asyncio.to_thread(self._live.stop)
        await asyncio.to_thread(self._open.close)

    def require(self, scenario: str) -> Any:
        """Return the chain of a scenario.

        Raises:
            ProblemError: with status 503, if it is not there or not there yet.
        """
        chain = getattr(self.ready_chains(), scenario)
        if chain is None:
            raise ProblemError(503, _how_to_build(scenario))
        return chain

    def require_classifier(self, name: str) -> Any:
        """Return a classifier.

        Raises:
            ProblemError: with status 503, if it is not there or not there yet.
        """
        classifier = self.ready_chains().classifiers.get(name)
        if classifier is None:
            raise ProblemError(503, _how_to_build(f"{name} classifier"))
        return classifier

    def require_live_monitor(self) -> LiveMonitor:
        """Return the live monitor.

        Raises:
            ProblemError: with status 503, if it is not there or not there yet.
        """
        self.require("monitoring")
        if self._live is None:
            raise ProblemError(503, _how_to_build("monitoring"))
        return self._live

    def require_desk(self) -> ServiceDesk:
        """Return what conversations need.

        Raises:
            ProblemError: with status 503, if it is not there or not there yet.
        """
        self.require("customer_service")
        if self._desk is None:
            raise ProblemError(503, "The conversations cannot be opened; the log of the server says why.")
        return self._desk

    def health(self) -> Health:
        """Return whether the server is ready, and for what."""
        if self._chains is None:
            return Health(status="starting")
        available = self._chains.available
        return Health(
            status="ready" if available else "unavailable",
            scenarios={
                name: ScenarioHealth(available=True)
                if name in available
                else ScenarioHealth(available=False, detail=_how_to_build(name))
                for name in SCENARIOS
            },
            models=tuple(sorted(self._chains.classifiers)),
        )

    async def _build(self) -> None:
        try:
            async with self._turn:
                if not self._stopping:
                    await asyncio.to_thread(self._use, await asyncio.to_thread(build_chains, self.settings))
        except Exception:
            _log.exception("the chains cannot be built")
            self._use(Chains())

    def _use(self, chains: Chains) -> None:
        if chains.monitoring is not None:
            self._live = LiveMonitor(chains.monitoring, read_history=RecordedStream.of(self.settings).read)
            self._live.start()
        if chains.customer_service is not None:
            try:
                self._desk = self._open.enter_context(open_desk(self.settings, chains.customer_service))
            except TuneChainError as error:  # single questions are answered all the same
                _log.error("the conversations cannot be opened: %s", error)
        self._chains = chains
        _log.info("ready: %s", ", ".join(chains.available) or "nothing")

    def ready_chains(self) -> Chains:
        """Return what can be asked.

        Raises:
            ProblemError: with status 503, as long as it is being built.
        """
        if self._chains is None:
            raise ProblemError(503, "The models are being loaded; try again soon.", headers={"Retry-After": "5"})
        return self._chains


def _how_to_build(part: str) -> str:
    name = part.replace("_", " ")
    return (
        f"This workspace has no usable {name}. Build it with `tunechain quickstart WORKSPACE`, then start the server "
        "again; its log says what is missing."
    )
