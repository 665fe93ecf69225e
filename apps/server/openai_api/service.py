"""Completions of customer service: the last message is answered, the earlier ones give what it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from apps.server.admission import Admission
from apps.server.openai_api.messages import to_text
from apps.server.openai_api.replies import END_OF_STREAM, ChunkWriter, completion, show_error
from apps.server.openai_api.schemas import ChatRequest
from apps.server.openai_api.turns import Line, TurnMemory
from apps.server.problems import ProblemError
from apps.server.service_run import ServiceRun, Step
from apps.server.streaming import EventStream, encode_event, run_while_connected, stream_service_run
from chains.customer_service import ServiceReply, ServiceRequest

_USED = frozenset({"model", "messages", "n", "stream", "stream_options", "user"})


@dataclass(frozen=True, slots=True)
class ServiceCompletion:
    """One request to customer service in OpenAI's form.

    Attributes:
        request: what the client sent.
        lines: role and text of all its messages.
        run: the chain with the last message.
        owner: who asks.
        memory: what stood behind earlier answers.
    """

    request: ChatRequest
    lines: Sequence[Line]
    run: ServiceRun
    owner: str
    memory: TurnMemory

    @classmethod
    def of(
        cls,
        request: ChatRequest,
        chain: Runnable[ServiceRequest, ServiceReply],
        *,
        owner: str,
        memory: TurnMemory,
    ) -> "ServiceCompletion":
        """Return the completion that a request asks for.

        Raises:
            ProblemError: with status 400, if it holds what a chain of approved answers cannot follow.
        """
        unused = sorted(request.model_fields_set - _USED) or (["n"] if request.n > 1 else [])
        if unused:
            detail = f"{request.model} cannot follow {unused[0]}; its answers are approved or quoted."
            raise ProblemError(400, detail, param=unused[0], code="unsupported_parameter")
        if any(message.role not in {"user", "assistant"} for message in request.messages):
            detail = f"{request.model} reads messages of the roles user and assistant; it has a prompt of its own."
            raise ProblemError(400, detail, param="messages")
        lines = [(message.role, to_text(message.content)) for message in request.messages]
        if lines[-1][0] != "user":
            raise ProblemError(400, "The last message must be the user's; it is the one answered.", param="messages")
        turn = memory.find(owner, lines[:-1])
        asked = ServiceRequest(text=lines[-1][1], slots=turn.slots, open_question=turn.open_question)
        return cls(request, lines, ServiceRun.of_question(chain, asked), owner, memory)

    async def answer(self, connection: Request, admission: Admission) -> dict[str, Any]:
        """Return the whole completion.

        Raises:
            ClientGoneError: if the client left before.
            TuneChainError: as the chain; ProblemError, if too many calls wait.
        """
        reply = await run_while_connected(connection.receive, self.run.reply(admission))
        self._remember(reply.text, reply)
        return completion(self.request.model, [AIMessage(reply.text)], self.run.usage, _extension(reply))

    def stream(self, admission: Admission) -> EventStream:
        """Return the response that sends the completion in chunks; when the client leaves, the run ends."""
        writer = ChunkWriter(self.request.model, wants_usage=self.request.wants_usage)
        said: list[str] = []

        def show(step: Step) -> Iterator[bytes]:
            said.append(_new_text(step, has_said=any(said)))
            for chunk in writer.write(AIMessage(said[-1])):
                yield encode_event(chunk)
            if not isinstance(step, ServiceReply):
                return
            self._remember("".join(said), step)
            writer.usage = self.run.usage
            for chunk in writer.finish(_extension(step)):
                yield encode_event(chunk)
            yield END_OF_STREAM

        return stream_service_run(self.run, admission=admission, show=show, show_error=show_error)

    def _remember(self, said: str, reply: ServiceReply) -> None:
        self.memory.keep(self.owner, [*self.lines, ("assistant", said)], reply)


def _new_text(step: Step, *, has_said: bool) -> str:
    """Return what a step adds to what was said; a chain that says nothing in parts says all of it in the end."""
    if isinstance(step, ServiceReply):
        return "" if has_said else step.text
    return step.get("text", "")


def _extension(reply: ServiceReply) -> dict[str, Any]:
    return reply.model_dump(mode="json", exclude={"text"})
