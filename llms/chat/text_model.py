"""`LocalLLM`: a local Hugging Face language model as a LangChain LLM, text in and text out."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import ConfigDict
from typing_extensions import override

from llms.chat.generation import GenerationFields, StopWatch, TextStream
from llms.engines.calls import arun_requests, astream_events, run_requests, stream_events
from llms.engines.requests import GenerationRequest, TokenEvent
from llms.options import merge_options
from llms.texts.checks import check_text


class LocalLLM(GenerationFields, BaseLLM):
    """Continues a text with a model on this machine; the prompt is never repeated in the answer.

    Control tokens in the prompt are plain text to the model; for turns use `LocalChatModel`. The
    arguments are those of `GenerationFields`; a call may also name an `adapter`.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ContextOverflowError: at a call, if prompt and answer do not fit.
    """

    model_config = ConfigDict(extra="forbid")  # LangChain's base class would ignore what it does not know

    @property
    @override
    def _llm_type(self) -> str:
        return "tunechain-text"

    @override
    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        requests = [self._request(prompt, stop, kwargs) for prompt in prompts]
        return self._result(requests, run_requests(self._loaded.engine, requests))

    @override
    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        requests = [self._request(prompt, stop, kwargs) for prompt in prompts]
        return self._result(requests, await arun_requests(self._loaded.engine, requests))

    @override
    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        request = self._request(prompt, stop, kwargs, wants_pieces=True)
        text = TextStream.of(self._loaded, request.options)
        with contextlib.closing(stream_events(self._loaded.engine, request)) as events:
            for event in events:
                chunk = _chunk(text, event)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    @override
    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        request = self._request(prompt, stop, kwargs, wants_pieces=True)
        text = TextStream.of(self._loaded, request.options)
        async with contextlib.aclosing(astream_events(self._loaded.engine, request)) as events:
            async for event in events:
                chunk = _chunk(text, event)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _request(
        self, prompt: str, stop: list[str] | None, kwargs: dict[str, Any], *, wants_pieces: bool = False
    ) -> GenerationRequest:
        changes = dict(kwargs)
        adapter = self._adapter(changes.pop("adapter", None))
        options = merge_options(self._options, changes, stop=stop)
        encoded: Any = self._loaded.tokenizer(check_text(prompt), split_special_tokens=True)
        return GenerationRequest(
            prompt_ids=encoded["input_ids"],
            options=options,
            adapter=adapter,
            cache_salt=self.cache_salt,
            is_stop=StopWatch(TextStream.of(self._loaded, options)) if options.stop else None,
            wants_pieces=wants_pieces,
        )

    def _result(self, requests: list[GenerationRequest], events: list[TokenEvent]) -> LLMResult:
        generations, num_prompt, num_answer = [], 0, 0
        for request, event in zip(requests, events, strict=True):
            text = TextStream.of(self._loaded, request.options)
            answer = text.push(event.ids) + text.finish()
            generations.append([Generation(text=answer, generation_info={"finish_reason": event.finish_reason})])
            num_prompt += len(request.prompt_ids)
            num_answer += len(event.ids)
        usage = {"input_tokens": num_prompt, "output_tokens": num_answer, "total_tokens": num_prompt + num_answer}
        return LLMResult(generations=generations, llm_output={"token_usage": usage, "model_name": self.model})


def _chunk(text: TextStream, event: TokenEvent) -> GenerationChunk:
    shown = text.push(event.ids)
    if event.is_last:
        return GenerationChunk(text=shown + text.finish(), generation_info={"finish_reason": event.finish_reason})
    return GenerationChunk(text=shown)
