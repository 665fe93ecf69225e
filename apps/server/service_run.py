"""One run of customer service: its events as they happen, its reply, and an end when nobody waits for it."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable
from typing_extensions import override

from apps.server.admission import Admission
from chains.customer_service import EVENT_NAME, Conversations, ServiceEvent, ServiceReply, ServiceRequest

Step: TypeAlias = ServiceEvent | ServiceReply


class _Abandoned(BaseException):
    """Ends a chain from within; no `except Exception` of a chain or model takes it for a failure to make good for."""


class RunWatch(BaseCallbackHandler):
    """Hears what a run does, in the run's thread, and ends it once nobody wants its reply.

    Attributes:
        usage: tokens of all chat models that took part and count them; None where none did.
    """

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.tell: Callable[[ServiceEvent], None] = lambda _: None
        self.usage: UsageMetadata | None = None
        self._is_abandoned = threading.Event()

    def abandon(self) -> None:
        """Let the run end at the next thing it does."""
        self._is_abandoned.set()

    def is_wanted(self) -> bool:
        """Return whether somebody still waits for the reply."""
        return not self._is_abandoned.is_set()

    def _go_on(self, *_: Any, **__: Any) -> None:
        if not self.is_wanted():
            raise _Abandoned

    on_chain_start = on_chat_model_start = on_llm_start = on_retriever_start = on_tool_start = _go_on
    on_llm_new_token = _go_on

    @override
    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self._go_on()
        if name == EVENT_NAME:
            self.tell(data)

    @override
    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generation in (one for several in response.generations for one in several):
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if isinstance(message, AIMessage) and message.usage_metadata:
                self.usage = add_usage(self.usage, message.usage_metadata)


class ServiceRun:
    """A message on its way through customer service.

    Args:
        answer: makes the reply, in a thread; it tells the watch what happens and asks it whether to go on.
    """

    def __init__(self, answer: Callable[[RunWatch], ServiceReply]) -> None:
        self._answer = answer
        self._watch = RunWatch()

    @classmethod
    def of_question(
        cls, chain: Runnable[ServiceRequest, ServiceReply], request: ServiceRequest, *, owner: str
    ) -> "ServiceRun":
        """Return the run of a single question; lookups learn its owner."""
        return cls(lambda watch: chain.invoke(request, {"callbacks": [watch], "configurable": {"owner": owner}}))

    @classmethod
    def of_message(cls, conversations: Conversations, **message: str) -> "ServiceRun":
        """Return the run of a message of a conversation; `message` holds the arguments of `Conversations.send`."""

        def answer(watch: RunWatch) -> ServiceReply:
            for step in conversations.stream(**message, is_wanted=watch.is_wanted):
                if isinstance(step, ServiceReply):
                    return step
                watch.tell(step)
            raise AssertionError  # a stream ends with its reply

        return cls(answer)

    @property
    def usage(self) -> UsageMetadata | None:
        """Tokens of all chat models that took part and count them; None where none did."""
        return self._watch.usage

    async def reply(self, admission: Admission) -> ServiceReply:
        """Return the reply; a cancellation ends the run at its next step or token.

        Raises:
            ProblemError: with status 429, if too many calls wait.
        """
        async with contextlib.aclosing(self.steps(admission)) as steps:
            *_, last = [step async for step in steps]
        return cast("ServiceReply", last)

    async def steps(self, admission: Admission) -> AsyncGenerator[Step, None]:
        """Yield what happens, and last the reply; closing it ends the run at its next step or token.

        Raises:
            ProblemError: with status 429, if too many calls wait.
        """
        inbox: asyncio.Queue[ServiceEvent | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._watch.tell = lambda event: cast("None", loop.call_soon_threadsafe(inbox.put_nowait, event))
        work = functools.partial(self._answer, self._watch)
        running = asyncio.ensure_future(admission.run(work, on_cancel=self._watch.abandon))
        running.add_done_callback(lambda _: inbox.put_nowait(None))
        try:
            while (event := await inbox.get()) is not None:
                yield event
            yield await running  # or raise what ended it
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
