"""The workspace's text filter on its chat model: messages refused, answers held back, streams sentence by sentence."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage

from apps.server.problems import ProblemError
from chains.text_filter import FilterFinding, TextFilter

HELD_BACK = "content_filter"
_BORDER = re.compile(r".*(?:[.!?](?=\s)|[。！？\n])", re.DOTALL)
_LOOK_BACK_CHARS = 500  # of what was sent, so that a phrase over a border is found


class FilteredCompletion:
    """A text filter for one request to a chat model.

    Args:
        text_filter: its rules.
        messages: of the request; private data that stands in them may be told.
    """

    def __init__(self, text_filter: TextFilter, messages: Sequence[BaseMessage]) -> None:
        self._filter = text_filter
        self._known = "\n".join(message.text for message in messages)
        asked = [message.text for message in messages if isinstance(message, HumanMessage)]
        self._asked = asked[-1] if asked else ""

    async def refuse_held_back(self) -> None:
        """Refuse a message that a rule leaves to people.

        Raises:
            ProblemError: with status 400 and the code `content_filter`.
        """
        if finding := await asyncio.to_thread(self._filter.find_incoming, self._asked):
            detail = f"The text filter of this workspace holds the message back ({finding})."
            raise ProblemError(400, detail, param="messages", code=HELD_BACK)

    async def screen(self, answer: AIMessage) -> AIMessage:
        """Return an answer without its reasoning, or an empty one that says that it was held back."""
        calls = (
            json.dumps([call["args"] for call in answer.tool_calls], ensure_ascii=False) if answer.tool_calls else ""
        )
        if await self._find(f"{answer.text}\n{calls}"):
            return AIMessage("", response_metadata={"finish_reason": HELD_BACK}, usage_metadata=answer.usage_metadata)
        extra = {name: value for name, value in answer.additional_kwargs.items() if name != "reasoning_content"}
        return answer.model_copy(update={"additional_kwargs": extra})

    async def screen_parts(self, parts: AsyncIterator[AIMessage]) -> AsyncGenerator[AIMessage, None]:
        """Yield the parts of an answer by whole sentences that have passed; one that does not pass ends it.

        Calls of tools come at the end, and reasoning does not come at all.
        """
        waiting, sent = "", ""
        calls: list[AIMessage] = []
        async for part in parts:
            if getattr(part, "tool_call_chunks", None) or part.tool_calls:
                calls.append(part)
                continue
            waiting += part.text
            complete = found[0] if (found := _BORDER.match(waiting)) else ""
            if complete:
                if await self._find(sent[-_LOOK_BACK_CHARS:] + complete):
                    yield _end_of_held_back(part)
                    return
                waiting, sent = waiting[len(complete) :], sent + complete
            yield _bare_part(part, complete)
        arguments = "".join(
            str(chunk["args"] or "") for call in calls for chunk in getattr(call, "tool_call_chunks", ())
        )
        whole = "".join(json.dumps(call.tool_calls, ensure_ascii=False, default=str) for call in calls)
        if await self._find(f"{sent[-_LOOK_BACK_CHARS:]}{waiting}\n{arguments}\n{whole}"):
            yield _end_of_held_back(AIMessageChunk(content=""))
            return
        if waiting:
            yield AIMessageChunk(content=waiting)
        for call in calls:
            yield call

    async def _find(self, text: str) -> FilterFinding | None:
        return await asyncio.to_thread(self._filter.find_outgoing, text, known=self._known)


def _bare_part(part: AIMessage, text: str) -> AIMessage:
    return AIMessageChunk(content=text, response_metadata=part.response_metadata, usage_metadata=part.usage_metadata)


def _end_of_held_back(part: AIMessage) -> AIMessage:
    return AIMessageChunk(
        content="", response_metadata={"finish_reason": HELD_BACK}, usage_metadata=part.usage_metadata
    )
