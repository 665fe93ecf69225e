"""Completions in OpenAI's form from LangChain's answers, whole and in chunks, and errors in a stream of them."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage

from apps.server.problems import explain_error, openai_error
from apps.server.streaming import encode_event

Body = dict[str, Any]
END_OF_STREAM = b"data: [DONE]\n\n"
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


def usage_of(messages: Sequence[AIMessage]) -> UsageMetadata | None:
    """Return the tokens of several answers to one prompt, which is counted once; None where the model counts none."""
    counts = [message.usage_metadata for message in messages if message.usage_metadata]
    if not counts:
        return None
    num_output = sum(count["output_tokens"] for count in counts)
    num_input = counts[0]["input_tokens"]
    return UsageMetadata(input_tokens=num_input, output_tokens=num_output, total_tokens=num_input + num_output)


def completion(
    model: str, answers: Sequence[AIMessage], usage: UsageMetadata | None, extension: Mapping[str, Any] | None = None
) -> Body:
    """Return a whole completion with one choice per answer."""
    choices = [
        {
            "index": index,
            "message": _message(answer),
            "finish_reason": _finish_reason(answer),
            "logprobs": answer.response_metadata.get("logprobs"),
        }
        for index, answer in enumerate(answers)
    ]
    body = {**_head(model, "chat.completion"), "choices": choices, "usage": _usage(usage)}
    return body if extension is None else body | {"tunechain": dict(extension)}


def show_error(error: Exception) -> bytes:
    """Return the last event of a stream that breaks off."""
    return encode_event(openai_error(explain_error(error, client_chooses_options=True)))


class ChunkWriter:
    """Writes one answer as the chunks of a stream.

    Args:
        model: the name that the client asked for.
        wants_usage: whether a last chunk tells the number of tokens.
    """

    def __init__(self, model: str, *, wants_usage: bool) -> None:
        self._head = _head(model, "chat.completion.chunk")
        self._wants_usage = wants_usage
        self._has_begun = False
        self._has_calls = False
        self._last: dict[str, Any] = {}
        self.usage: UsageMetadata | None = None

    def write(self, part: AIMessage) -> list[Body]:
        """Return the chunks for a part of the answer; a part without anything to show has none."""
        self._last |= part.response_metadata
        if part.usage_metadata:
            self.usage = add_usage(self.usage, part.usage_metadata)
        delta: Body = {}
        if part.text:
            delta["content"] = part.text
        if reasoning := part.additional_kwargs.get("reasoning_content"):
            delta["reasoning_content"] = reasoning
        if calls := _call_deltas(part):
            self._has_calls = True
            delta["tool_calls"] = calls
        return [*self._begin(), self._chunk(delta)] if delta else []

    def finish(self, extension: Mapping[str, Any] | None = None) -> list[Body]:
        """Return the last chunks: how the answer ended, and the number of tokens if it was asked for."""
        reason = self._last.get("finish_reason")
        if reason not in _FINISH_REASONS:
            reason = "tool_calls" if self._has_calls else "stop"
        end = self._chunk({}, finish_reason=reason, logprobs=self._last.get("logprobs"))
        if extension is not None:
            end["tunechain"] = dict(extension)
        chunks = [*self._begin(), end]
        if self._wants_usage:
            chunks.append({**self._head, "choices": [], "usage": _usage(self.usage)})
        return chunks

    def _begin(self) -> list[Body]:
        if self._has_begun:
            return []
        self._has_begun = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _chunk(self, delta: Body, *, finish_reason: str | None = None, logprobs: Any = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
        chunk = {**self._head, "choices": [choice]}
        return chunk | {"usage": None} if self._wants_usage else chunk


def _head(model: str, kind: str) -> Body:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _message(answer: AIMessage) -> Body:
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in answer.tool_calls
    ]
    # a call that is no JSON is shown as it is: OpenAI's clients expect that of a model
    calls += [_call(call["id"], call["name"] or "", call["args"] or "") for call in answer.invalid_tool_calls]
    message: Body = {"role": "assistant", "content": answer.text or (None if calls else ""), "refusal": None}
    if calls:
        message["tool_calls"] = calls
    if reasoning := answer.additional_kwargs.get("reasoning_content"):
        message["reasoning_content"] = reasoning
    return message


def _call(call_id: str | None, name: str, arguments: str) -> Body:
    return {
        "id": call_id or f"call_{uuid.uuid4().hex}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _call_deltas(part: AIMessage) -> list[Body]:
    if not isinstance(part, AIMessageChunk):  # a model that cannot stream gives its whole answer
        return [{"index": index, **call} for index, call in enumerate(_message(part).get("tool_calls", ()))]
    deltas = []
    for piece in part.tool_call_chunks:
        delta: Body = {"index": piece["index"] or 0, "function": {"arguments": piece["args"] or ""}}
        if piece["name"]:  # only the first piece of a call names it
            delta |= {"id": piece["id"] or f"call_{uuid.uuid4().hex}", "type": "function"}
            delta["function"]["name"] = piece["name"]
        deltas.append(delta)
    return deltas


def _finish_reason(answer: AIMessage) -> str:
    reason = answer.response_metadata.get("finish_reason")
    if reason in _FINISH_REASONS:
        return str(reason)
    return "tool_calls" if answer.tool_calls or answer.invalid_tool_calls else "stop"


def _usage(usage: UsageMetadata | None) -> Body | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
