"""The workspace's chat model, called through LangChain's interface."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration

from apps.server.admission import Admission
from apps.server.connection import run_while_connected
from apps.server.event_stream import encode_event
from apps.server.openai_api.messages import call_options, to_langchain
from apps.server.openai_api.model_errors import model_refusals
from apps.server.openai_api.replies import ChunkWriter, completion, usage_of
from apps.server.openai_api.schemas import ChatRequest


@dataclass(frozen=True, slots=True)
class ChatCompletion:
    """One request to a chat model in OpenAI's form."""

    request: ChatRequest
    model: BaseChatModel
    messages: list[BaseMessage]
    options: dict[str, Any]

    @classmethod
    def of(cls, request: ChatRequest, model: BaseChatModel) -> "ChatCompletion":
        """Return the completion that a request asks for.

        Raises:
            ProblemError: with status 400, if a message or a tool cannot be used.
        """
        with model_refusals():
            messages = [to_langchain(message) for message in request.messages]
            return cls(request, model, messages, call_options(request, model))

    async def answer(self, connection: Request, admission: Admission) -> dict[str, Any]:
        """Return the whole completion.

        Raises:
            ClientGoneError: if the client left before; the model has stopped.
            ProblemError: if it cannot be had.
        """
        with model_refusals():
            answers = await run_while_connected(connection.receive, self._generate(admission))
        return completion(self.request.model, answers, usage_of(answers))

    async def events(self, admission: Admission) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of the completion; closing it stops the model.

        Raises:
            ProblemError: if it cannot be had.
        """
        writer = ChunkWriter(self.request.model, wants_usage=self.request.wants_usage)
        with model_refusals():
            async with admission.place():
                stream = cast("AsyncGenerator[AIMessage, None]", self.model.astream(self.messages, **self.options))
                async with contextlib.aclosing(stream) as parts:
                    async for part in parts:
                        for chunk in writer.write(part):
                            yield encode_event(chunk)
        for chunk in writer.finish():
            yield encode_event(chunk)
        yield b"data: [DONE]\n\n"

    async def _generate(self, admission: Admission) -> list[AIMessage]:
        async with admission.place():
            result = await self.model.agenerate([self.messages], **self.options)
        generations = cast("list[ChatGeneration]", result.generations[0])
        return [cast("AIMessage", generation.message) for generation in generations]
