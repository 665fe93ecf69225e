"""Token events to LangChain's messages: content, reasoning, tool calls, usage, and how the answer ended."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from llms.chat.answers import AnswerPart, AnswerReader
from llms.chat.calls import ChatCall
from llms.engines.requests import TokenEvent, TokenScore


class ReplyStream:
    """The chunks of one answer, the last one with usage and metadata."""

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._text = call.new_text_stream()
        self._reader = _new_reader(call)
        self._num_tokens = 0
        self._scores: list[TokenScore] = []
        self._num_cached: int | None = None
        self._first_token_s: float | None = None

    def chunks(self, event: TokenEvent) -> Iterator[ChatGenerationChunk]:
        """Yield what an event adds to the answer, if that is anything to show."""
        self._note(event)
        part = self._read(self._text.push(event.ids))
        if not event.is_last:
            if part.content or part.reasoning or part.call_chunks:
                yield ChatGenerationChunk(message=_chunk(part))
            return
        last = _joined(part, self._read(self._text.finish()), self._reader.finish() if self._reader else AnswerPart())
        if last.content or last.reasoning or last.call_chunks:
            yield ChatGenerationChunk(message=_chunk(last))
        details = self.metadata(event)
        end = AIMessageChunk(content="", usage_metadata=self.usage, response_metadata=details, chunk_position="last")
        yield ChatGenerationChunk(message=end, generation_info={"finish_reason": details["finish_reason"]})

    def message(self, event: TokenEvent) -> AIMessage:
        """Return the whole answer that one event brought."""
        self._note(event)
        text = self._text.push(event.ids) + self._text.finish()
        additional: dict[str, Any] = {}
        if self._reader is None:
            return AIMessage(content=text, usage_metadata=self.usage, response_metadata=self.metadata(event))
        self._reader.feed(text)
        self._reader.finish()
        answer = self._reader.answer
        if answer.reasoning:
            additional["reasoning_content"] = answer.reasoning
        return AIMessage(
            content=answer.content,
            additional_kwargs=additional,
            tool_calls=answer.tool_calls,
            invalid_tool_calls=answer.invalid_tool_calls,
            usage_metadata=self.usage,
            response_metadata=self.metadata(event),
        )

    @property
    def usage(self) -> UsageMetadata:
        """Exact numbers of tokens; the end token is not counted."""
        num_input = len(self._call.request.prompt_ids)
        usage = UsageMetadata(
            input_tokens=num_input, output_tokens=self._num_tokens, total_tokens=num_input + self._num_tokens
        )
        if self._num_cached is not None:
            usage["input_token_details"] = InputTokenDetails(cache_read=self._num_cached)
        return usage

    def metadata(self, event: TokenEvent) -> dict[str, Any]:
        """Return how the answer ended and how fast it came."""
        call = self._call
        seconds = time.perf_counter() - call.started_at
        has_calls = self._reader is not None and bool(self._reader.answer.tool_calls)
        reason = "tool_calls" if has_calls and event.finish_reason == "stop" else event.finish_reason
        details: dict[str, Any] = {
            "finish_reason": reason,
            "model_name": call.model_name,
            "model_provider": "tunechain",
            "engine": call.loaded.engine.name,
            "tokens_per_second": round(self._num_tokens / seconds, 1) if seconds > 0 else None,
            "first_token_s": self._first_token_s,
        }
        if call.request.options.logprobs is not None:
            details["logprobs"] = {"content": [_shown_score(call, score) for score in self._scores]}
        return details

    def _note(self, event: TokenEvent) -> None:
        if event.first_token_at is not None:
            self._first_token_s = round(event.first_token_at - self._call.started_at, 4)
        self._num_tokens += len(event.ids)
        self._scores.extend(event.scores)
        self._num_cached = event.num_cached_tokens

    def _read(self, text: str) -> AnswerPart:
        return AnswerPart(content=text) if self._reader is None else self._reader.feed(text)


def build_result(calls: Sequence[ChatCall], events: Sequence[TokenEvent]) -> ChatResult:
    """Return the answers to several calls as one result; its usage is that of all of them."""
    messages = [ReplyStream(call).message(event) for call, event in zip(calls, events, strict=True)]
    generations = [
        ChatGeneration(message=message, generation_info={"finish_reason": message.response_metadata["finish_reason"]})
        for message in messages
    ]
    return ChatResult(generations=generations, llm_output={"model_name": calls[0].model_name})


def _new_reader(call: ChatCall) -> AnswerReader | None:
    """Return a reader where an answer can hold anything but content."""
    template = call.loaded.template
    is_constrained = call.request.constraint is not None and not call.is_forced
    if not call.tools and (is_constrained or not template.shows_reasoning):
        return None
    return AnswerReader(template.dialect, tools=call.tools, prefix=call.answer_prefix, quoted=call.quoted)


def _chunk(part: AnswerPart) -> AIMessageChunk:
    additional = {"reasoning_content": part.reasoning} if part.reasoning else {}
    return AIMessageChunk(content=part.content, additional_kwargs=additional, tool_call_chunks=part.call_chunks)


def _joined(*parts: AnswerPart) -> AnswerPart:
    return AnswerPart(
        content="".join(part.content for part in parts),
        reasoning="".join(part.reasoning for part in parts),
        call_chunks=[chunk for part in parts for chunk in part.call_chunks],
    )


def _shown_score(call: ChatCall, score: TokenScore) -> dict[str, Any]:
    tokenizer = call.loaded.tokenizer

    def shown(token_id: int, logprob: float) -> dict[str, Any]:
        token = str(tokenizer.decode([token_id]))
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8"))}

    alternatives = [shown(token_id, logprob) for token_id, logprob in score.alternatives]
    return {**shown(score.token_id, score.logprob), "top_logprobs": alternatives}
