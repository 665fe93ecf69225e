"""One run of the customer-service chain: its events as they happen, its reply, and an end when nobody waits."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable
from typing_extensions import override

from apps.server.admission import Admission
from chains.customer_service import ServiceReply, ServiceRequest
from chains.customer_service.schema import ServiceEvent
from chains.customer_service.steps import EVENT_NAME


class _Abandoned(BaseException):
    """Ends a chain from within; no `except Exception` of a chain or model takes it for a failure to make good for."""


class ServiceRun:
    """A message on its way through the chain."""

    def __init__(self, chain: Runnable[ServiceRequest, ServiceReply], request: ServiceRequest) -> None:
        self._chain = chain
        self._request = request
        self._watch = _Watch()

    @property
    def usage(self) -> UsageMetadata | None:
        """Tokens of all chat models that took part and count them; None where none did."""
        return self._watch.usage

    async def reply(self, admission: Admission) -> ServiceReply:
        """Return the reply; a cancellation ends the run at its next step or token.

        Raises:
            ProblemError: with status 429, if all places are taken.
        """
        async with contextlib.aclosing(self.events(admission)) as events:
            *_, last = [event async for event in events]
        return cast("ServiceReply", last)

    async def events(self, admission: Admission) -> AsyncGenerator[ServiceEvent | ServiceReply, None]:
        """Yield what happens, and last the reply; closing it ends the run at its next step or token.

        Raises:
            ProblemError: with status 429, if all places are taken.
        """
        inbox: asyncio.Queue[ServiceEvent | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._watch.on_event = lambda event: cast("None", loop.call_soon_threadsafe(inbox.put_nowait, event))
        work = functools.partial(self._chain.invoke, self._request, {"callbacks": [self._watch]})
        running = asyncio.ensure_future(admission.run(work, on_cancel=self._watch.abandon))
        running.add_done_callback(lambda _: inbox.put_nowait(None))
        try:
            while (event := await inbox.get()) is not None:
                yield event
            yield await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class _Watch(BaseCallbackHandler):
    """Hears what a chain does, in the chain's thread."""

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.on_event: Callable[[ServiceEvent], None] = lambda _: None
        self.usage: UsageMetadata | None = None
        self._is_abandoned = threading.Event()

    def abandon(self) -> None:
        """Let the chain end at the next thing it does."""
        self._is_abandoned.set()

    def _go_on(self, *_: Any, **__: Any) -> None:
        if self._is_abandoned.is_set():
            raise _Abandoned

    on_chain_start = on_chat_model_start = on_llm_start = on_retriever_start = on_tool_start = _go_on
    on_llm_new_token = _go_on

    @override
    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self._go_on()
        if name == EVENT_NAME:
            self.on_event(data)

    @override
    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generation in (one for several in response.generations for one in several):
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if isinstance(message, AIMessage) and message.usage_metadata:
                self.usage = add_usage(self.usage, message.usage_metadata)
