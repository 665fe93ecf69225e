"""Server state: the workspaces that are served, and the models, conversations and monitor of each."""

import asyncio
import contextlib
import functools
import logging
import shutil
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from langchain_core.runnables import Runnable

from apps.applications import SCENARIOS, Applications, build_applications
from apps.articles import Articles
from apps.errors import MissingExtraError, SettingsError
from apps.event_recorder import EventRecorder
from apps.feedback import FeedbackStore
from apps.readers import read_templates
from apps.server.admission import Admission
from apps.server.auth import Owner
from apps.server.live_monitoring import open_monitor
from apps.server.monitor_service import LiveMonitor
from apps.server.problems import ProblemError
from apps.server.schemas import Health, ScenarioHealth
from apps.service_learning.desk import LearningDesk
from apps.settings import Settings, load_settings
from apps.wiring import open_conversations
from chains.customer_service import Conversations, ServiceReply, ServiceRequest, TemplateBook
from chains.errors import ConversationBusyError
from chains.monitoring import MonitoringChain
from llms.errors import TuneChainError

_TAKE_OVER_S = 1.0  # between two looks whether another process still has the conversations
_MAX_CHANGES = 32  # at once, and waiting; each holds a thread while it waits for a message before it

_log = logging.getLogger(__name__)


class Workspace:
    """What the questions of one tenant are answered from, from the start of the server to its stop.

    Args:
        settings: of the workspace.
        applications: what to serve; without them they are built from the settings, which takes a while.
        admission: how many model calls run and wait.
        changes: how many changes of conversations run and wait.
        turn: held while the applications are built.

    Attributes:
        admission: of model calls.
        changes: of what changes a conversation without a model, and waits for the messages before it.
        articles: what answers cite.
        feedback: what people thought of answers.
        learning: the review of what was found in logs.
        templates: how intents are called.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        applications: Applications | None,
        admission: Admission,
        changes: Admission,
        turn: asyncio.Lock,
    ) -> None:
        folder = settings.records_folder(settings.customer_service)
        self.settings = settings.as_served()
        self.admission = admission
        self.changes = changes
        self.articles = Articles(folder / "knowledge")
        self.feedback = FeedbackStore(settings.feedback_file)
        self.learning = LearningDesk(self.settings)
        self.templates = TemplateBook(answers={})
        self._templates_file = folder / "templates.yaml"
        self._turn = turn
        self._given = applications
        self._applications: Applications | None = None
        self._monitor: LiveMonitor | None = None
        self._has_sources = True
        self._conversations: Conversations | None = None
        self._open = contextlib.ExitStack()
        self._open.callback(self.feedback.close)
        self._open.callback(self.learning.close)
        self._open.callback(self.articles.close)
        self._building: asyncio.Task[None] | None = None
        self._taking_over: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to build; applications that were passed in are ready at once, others some time after."""
        if self._given is not None:
            await self._use(self._given)
        else:
            self._building = asyncio.create_task(self._build())

    async def stop(self) -> None:
        """End the threads of this workspace; what waits for its turn to be built is not built any more."""
        self._stopping = True
        if self._building is not None:
            await asyncio.wait([self._building])  # a thread that loads a model cannot be interrupted
        if self._taking_over is not None:
            self._taking_over.cancel()
            await asyncio.wait([self._taking_over])
        if self._monitor is not None:
            await asyncio.to_thread(self._monitor.stop)
        await asyncio.to_thread(self._open.close)

    # --- what can be asked; each raises a ProblemError with status 503 if it is not there or not there yet

    def applications(self) -> Applications:
        """Return what can be asked, once all of it is built."""
        if self._applications is None:
            raise ProblemError(503, "The models are being loaded; try again soon.", headers={"Retry-After": "5"})
        return self._applications

    def chain(self, scenario: str) -> Any:
        """Return the chain of a scenario."""
        chain = getattr(self.applications(), scenario)
        if chain is None:
            raise ProblemError(503, _how_to_build(scenario))
        return chain

    def events(self) -> EventRecorder:
        """Return what takes events."""
        recorder = self.applications().events
        if recorder is None:
            raise ProblemError(503, _how_to_build("recommendation"))
        return recorder

    def classifier(self, name: str) -> Any:
        """Return a classifier."""
        classifier = self.applications().classifiers.get(name)
        if classifier is None:
            raise ProblemError(503, _how_to_build(f"{name} classifier"))
        return classifier

    def monitor(self) -> LiveMonitor:
        """Return the live monitor."""
        self.chain("monitoring")
        if self._monitor is None:
            raise ProblemError(503, _how_to_build("monitoring"))
        return self._monitor

    def conversations(self) -> Conversations:
        """Return the conversations of the workspace."""
        self.chain("customer_service")
        if self._conversations is None:
            detail = (
                "Another server has the conversations of this workspace; they are taken over when it ends."
                if self._taking_over is not None
                else "The conversations cannot be opened; the log of the server says why."
            )
            raise ProblemError(503, detail, headers={"Retry-After": "5"})
        return self._conversations

    def health(self) -> Health:
        """Return whether the workspace is ready, and for what."""
        if self._applications is None:
            return Health(status="starting")
        if not getattr(self._applications.chat, "is_ready", True):  # its process is started again
            return Health(status="starting")
        available = self._applications.available
        has_room = shutil.disk_usage(self.settings.workspace).free >= self.settings.server.min_free_mb * 2**20
        return Health(
            status="ready" if available and has_room else "unavailable",
            problems=tuple(self._problems(has_room=has_room)),
            scenarios={
                name: ScenarioHealth(available=True)
                if name in available
                else ScenarioHealth(available=False, detail=_how_to_build(name))
                for name in SCENARIOS
            },
            models=tuple(sorted(self._applications.classifiers)),
        )

    def _problems(self, *, has_room: bool) -> Iterator[str]:
        if not has_room:
            yield f"The disk has less than {self.settings.server.min_free_mb} MiB left."
        has_service = self._applications is not None and self._applications.customer_service is not None
        if has_service and self._conversations is None:
            yield "The conversations are not open; another server may have them, else the log says why."
        if self._monitor is not None and (number := self._monitor.num_undelivered):
            messages = "1 message" if number == 1 else f"{number:,} messages"
            yield f"{messages} about alerts could not be delivered; tunechain monitor outbox says why."
        if not self._has_sources:
            yield "No source of posts is read; the log says why."

    # --- building

    async def _build(self) -> None:
        try:
            async with self._turn:
                if not self._stopping:
                    await self._use(await asyncio.to_thread(build_applications, self.settings))
        except Exception:
            _log.exception("the chains cannot be built")
            await self._use(Applications())

    async def _use(self, applications: Applications) -> None:
        try:
            await asyncio.to_thread(self._open_parts, applications)
        except ConversationBusyError as error:
            _log.warning("%s; they are taken over when it ends", error)
            self._taking_over = asyncio.create_task(self._take_over(applications))
        self._applications = applications
        if applications.events is not None:
            self._open.callback(applications.events.log.close)
        _log.info("ready: %s", ", ".join(applications.available) or "nothing")

    async def _take_over(self, applications: Applications) -> None:
        """Open the conversations once the other process has let go of them."""
        while self._conversations is None:
            await asyncio.sleep(_TAKE_OVER_S)
            with contextlib.suppress(ConversationBusyError):
                await asyncio.to_thread(self._try_conversations, applications)
        _log.info("the conversations were taken over")

    def _open_parts(self, applications: Applications) -> None:
        if applications.monitoring is not None:
            self._monitor = self._open_monitor(applications.monitoring)
            self._monitor.start()
        self._try_conversations(applications)

    def _open_monitor(self, chain: MonitoringChain) -> LiveMonitor:
        try:
            return open_monitor(self.settings, chain)
        except (SettingsError, MissingExtraError) as error:  # all else goes on; who looks at the health is told
            self._has_sources = False
            _log.error("no source of posts is read: %s", error)
            return open_monitor(self.settings, chain, sources=())

    def _try_conversations(self, applications: Applications) -> None:
        if applications.customer_service is None:
            return
        try:
            self._open_conversations(applications.customer_service)
        except ConversationBusyError:
            raise
        except TuneChainError as error:  # single questions are answered all the same
            _log.error("the conversations cannot be opened: %s", error)

    def _open_conversations(self, chain: Runnable[ServiceRequest, ServiceReply]) -> None:
        if self.settings.customer_service.decisions_with_text:
            _log.warning("the log of decisions holds what customers write: decisions_with_text is set")
        if self._templates_file.exists():
            self.templates = read_templates(self._templates_file)
        self._conversations = self._open.enter_context(open_conversations(self.settings, chain=chain))


class Server:
    """The workspaces of one server; their models stand in one queue, their records know nothing of each other.

    Args:
        settings: of the main workspace, which names those of the tenants.
        applications: what the main workspace serves, instead of what its settings describe.
        admission: how many model calls run and wait, over all workspaces.

    Raises:
        WorkspaceError: if the folder of a tenant is no workspace.
        SettingsError: if the settings of a tenant cannot be used.
    """

    def __init__(self, settings: Settings, *, applications: Applications | None, admission: Admission | None) -> None:
        section = settings.server
        admission = admission or Admission(max_running=section.max_running, max_waiting=section.max_waiting)
        changes = Admission(max_running=_MAX_CHANGES, max_waiting=_MAX_CHANGES)
        self.is_draining = False
        # one workspace is built after the other, or the memory of all would peak together
        turn = asyncio.Lock()
        share = functools.partial(Workspace, admission=admission, changes=changes, turn=turn)
        self.main = share(settings, applications=applications)
        self._tenants: Mapping[str, Workspace] = {
            name: share(load_settings(settings.workspace / folder), applications=None)
            for name, folder in settings.tenants
        }

    async def start(self) -> None:
        """Begin to build all workspaces, the main one first."""
        for workspace in (self.main, *self._tenants.values()):
            await workspace.start()

    def drain(self) -> None:
        """Say from now on that this server is not ready, since it is about to end."""
        self.is_draining = True

    async def stop(self) -> None:
        """End the threads of all workspaces."""
        await asyncio.gather(*(workspace.stop() for workspace in (self.main, *self._tenants.values())))

    def workspace_of(self, owner: Owner | None) -> Workspace:
        """Return where the questions of an owner are answered.

        Raises:
            ProblemError: with status 403, if the owner belongs to a tenant that is not served; its questions must
                not be answered from another's records.
        """
        workspace = self.main if owner is None else self._find(owner)
        if workspace is None:
            raise ProblemError(403, "The tenant of this key is not served here any more.")
        return workspace

    def share_workspace(self, owner: Owner, name: str) -> bool:
        """Return whether the owner called `name` is answered from the same workspace as `owner`."""
        workspace = self._find(Owner(name=name, role="customer"))
        return workspace is not None and workspace is self._find(owner)

    def _find(self, owner: Owner) -> Workspace | None:
        if owner.tenant in self._tenants:
            return self._tenants[owner.tenant]
        return self.main if owner.tenant == owner.name else None


def _how_to_build(part: str) -> str:
    name = part.replace("_", " ")
    return (
        f"This workspace has no usable {name}. Build it with `tunechain quickstart WORKSPACE`, then start the server "
        "again; its log says what is missing."
    )


# --- for the routes; coroutines, as in `auth`


async def _find_server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


CurrentServer = Annotated[Server, Depends(_find_server)]


async def _find_workspace(request: Request, server: CurrentServer) -> Workspace:
    return server.workspace_of(getattr(request.state, "owner", None))


CurrentWorkspace = Annotated[Workspace, Depends(_find_workspace)]
