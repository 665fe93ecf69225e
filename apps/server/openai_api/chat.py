"""Completions of the workspace's chat model, called through LangChain's interface."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration

from apps.server.admission import Admission
from apps.server.openai_api.filtering import FilteredCompletion
from apps.server.openai_api.messages import call_options, to_langchain
from apps.server.openai_api.replies import END_OF_STREAM, ChunkWriter, completion, show_error, usage_of
from apps.server.openai_api.schemas import ChatRequest
from apps.server.streaming import EventStream, encode_event
from chains.text_filter import TextFilter


@dataclass(frozen=True, slots=True)
class ChatCompletion:
    """One request to a chat model in OpenAI's form."""

    request: ChatRequest
    model: BaseChatModel
    messages: list[BaseMessage]
    options: dict[str, Any]
    filtered: FilteredCompletion | None = None

    @classmethod
    async def of(
        cls, request: ChatRequest, model: BaseChatModel, *, text_filter: TextFilter | None = None
    ) -> "ChatCompletion":
        """Return the completion that a request asks for.

        Args:
            request: what the client sent.
            model: which answers.
            text_filter: what neither the message nor the answer may hold.

        Raises:
            ProblemError: with status 400, if a message or a tool cannot be used, or the filter holds the message back.
        """
        messages = [to_langchain(message) for message in request.messages]
        filtered = None if text_filter is None else FilteredCompletion(text_filter, messages)
        if filtered is not None:
            await filtered.refuse_held_back()
        return cls(request, model, messages, call_options(request, model), filtered)

    async def answer(self, admission: Admission) -> dict[str, Any]:
        """Return the whole completion.

        Raises:
            TuneChainError: as the model; ProblemError, if too many calls wait.
        """
        async with admission.slot():
            result = await self.model.agenerate([self.messages], **self.options)
        generations = cast("list[ChatGeneration]", result.generations[0])
        answers = [cast("AIMessage", generation.message) for generation in generations]
        if self.filtered is not None:
            answers = [await self.filtered.screen(answer) for answer in answers]
        return completion(self.request.model, answers, usage_of(answers))

    def stream(self, admission: Admission) -> EventStream:
        """Return the response that sends the completion in chunks; when the client leaves, the model stops."""
        return EventStream(self._chunks(admission), show_error=show_error)

    async def _chunks(self, admission: Admission) -> AsyncGenerator[bytes, None]:
        writer = ChunkWriter(self.request.model, wants_usage=self.request.wants_usage)
        async with admission.slot():
            stream = cast("AsyncGenerator[AIMessage, None]", self.model.astream(self.messages, **self.options))
            async with contextlib.aclosing(stream) as written:
                parts = written if self.filtered is None else self.filtered.screen_parts(written)
                async for part in parts:
                    for chunk in writer.write(part):
                        yield encode_event(chunk)
        for chunk in writer.finish():
            yield encode_event(chunk)
        yield END_OF_STREAM
