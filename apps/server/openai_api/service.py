"""Completions of customer service: the last message is answered, the earlier ones give what it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from apps.server.admission import Admission
from apps.server.openai_api.messages import to_text
from apps.server.openai_api.replies import END_OF_STREAM, ChunkWriter, completion, show_error
from apps.server.openai_api.schemas import ChatRequest
from apps.server.openai_api.turns import Line, TurnMemory
from apps.server.problems import ProblemError
from apps.server.service_run import ServiceRun, Step
from apps.server.streaming import EventStream, encode_event, stream_service_run
from chains.customer_service import ServiceReply, ServiceRequest

# approved and quoted answers are the same under each of these
_WITHOUT_EFFECT = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "max_tokens",
        "max_completion_tokens",
        "parallel_tool_calls",
    }
)


@dataclass(frozen=True, slots=True)
class ServiceCompletion:
    """One request to customer service in OpenAI's form.

    Attributes:
        request: what the client sent.
        lines: role and text of all its messages.
        run: the chain with the last message.
        owner: who asks.
        memory: what stood behind earlier answers.
        ignored: what the request holds and the answer does not follow, told in the reply.
    """

    request: ChatRequest
    lines: Sequence[Line]
    run: ServiceRun
    owner: str
    memory: TurnMemory
    ignored: Sequence[str] = ()

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
        if unmet := next((name for name, is_asked in _unmet(request) if is_asked), None):
            detail = f"{request.model} cannot follow {unmet}; its answers are approved or quoted."
            raise ProblemError(400, detail, param=unmet, code="unsupported_parameter")
        if any(message.role == "tool" for message in request.messages):
            detail = f"{request.model} calls no tools, so it reads no message of the role tool."
            raise ProblemError(400, detail, param="messages")
        lines = [
            (message.role, to_text(message.content))
            for message in request.messages
            if message.role in {"user", "assistant"}
        ]
        ignored = sorted(_WITHOUT_EFFECT & request.model_fields_set)
        if len(lines) < len(request.messages):
            ignored.append("messages of the role system or developer: this service has a prompt of its own")
        if not lines or lines[-1][0] != "user":
            raise ProblemError(400, "The last message must be the user's; it is the one answered.", param="messages")
        turn = memory.find(owner, lines[:-1])
        asked = ServiceRequest(text=lines[-1][1], slots=turn.slots, open_question=turn.open_question)
        return cls(request, lines, ServiceRun.of_question(chain, asked, owner=owner), owner, memory, ignored)

    async def answer(self, admission: Admission) -> dict[str, Any]:
        """Return the whole completion.

        Raises:
            TuneChainError: as the chain; ProblemError, if too many calls wait.
        """
        reply = await self.run.reply(admission)
        self._remember(reply.text, reply)
        return completion(self.request.model, [AIMessage(reply.text)], self.run.usage, self._extension(reply))

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
            for chunk in writer.finish(self._extension(step)):
                yield encode_event(chunk)
            yield END_OF_STREAM

        return stream_service_run(self.run, admission=admission, show=show, show_error=show_error)

    def _extension(self, reply: ServiceReply) -> dict[str, Any]:
        """Return what stands behind an answer, and what the request asked for without effect."""
        behind = reply.model_dump(mode="json", exclude={"text"})
        return behind | {"ignored": list(self.ignored)} if self.ignored else behind

    def _remember(self, said: str, reply: ServiceReply) -> None:
        self.memory.keep(self.owner, [*self.lines, ("assistant", said)], reply)


def _new_text(step: Step, *, has_said: bool) -> str:
    """Return what a step adds to what was said; a chain that says nothing in parts says all of it in the end."""
    if isinstance(step, ServiceReply):
        return "" if has_said else step.text
    return step.get("text", "")


def _unmet(request: ChatRequest) -> Iterator[tuple[str, bool]]:
    """Yield the parameters that ask for what an approved answer cannot give, and whether they do."""
    yield "tools", bool(request.tools) and request.tool_choice != "none"
    yield "response_format", request.response_format is not None and request.response_format.type != "text"
    yield "n", request.n > 1
    yield "stop", request.stop is not None
    yield "logprobs", bool(request.logprobs)
