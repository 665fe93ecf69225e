"""`LocalChatModel`: a local Hugging Face chat model as a LangChain chat model, messages in and a message out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, get_buffer_string
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field
from typing_extensions import override

from llms.chat.calls import ChatCall, prepare_call
from llms.chat.fitted_choices import FittedChoices, fit_choices
from llms.chat.generation import GenerationFields
from llms.chat.messages import ReplyStream, build_result
from llms.chat.profile import read_profile
from llms.chat.scoring import score_choices
from llms.chat.structured_output import Method, plan_structured_output
from llms.chat.template import ChatTemplate
from llms.engines.calls import arun_requests, astream_events, run_requests, stream_events
from llms.errors import ConstraintError, ModelFolderError, OptionValueError

_SLOW_TO_RENDER_CHARS = 20_000
_SLOW_OPTIONS = frozenset({"model", "tools", "response_format"})


class LocalChatModel(GenerationFields, BaseChatModel):
    """A chat model that runs on this machine, from a folder or the local hub cache.

    The tokenizer and chat template saved with the model are the ones used. Control tokens in message texts are
    plain text to the model. Options that do not exist are errors, at construction and at each call.

    The arguments are those of `GenerationFields`, `adapter` and `template_options`. A call, or `bind`, may set any
    option of `GenerationOptions`, and:

    - `tools`, `tool_choice` ("auto", "none", "any" or a tool's name): see `bind_tools`;
    - `response_format`, `regex` or `choices`: what the answer must match; it is guaranteed;
    - `adapter`: the name of one of `adapters`;
    - `n`: several answers, in the generations of `generate`;
    - `logprobs=True`, `top_logprobs=5`: log probabilities, in the message's `response_metadata`;
    - `model`: another model for this call.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ContextOverflowError: at a call, if prompt and answer do not fit.
        EngineBusyError: at a call, if too many requests wait already.
        GenerationTimeoutError: at a call, after `timeout` seconds.
    """

    model_config = ConfigDict(extra="forbid")  # LangChain's base class would ignore what it does not know

    streaming: bool = False
    """Whether `invoke` reports each token to callbacks as it comes; LangChain reads this field."""

    adapter: str | None = None
    """Which of `adapters` answers calls that name none; None is the model as it is."""

    template_options: dict[str, Any] = Field(default_factory=dict)
    """Variables of the model's own chat template, such as `{"enable_thinking": False}`."""

    @property
    @override
    def _llm_type(self) -> str:
        return "tunechain-chat"

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return read_profile(self._folder, name=Path(self.model).name)

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "tunechain"
        params["ls_model_name"] = kwargs.get("model", self.model)
        return params

    @override
    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools it may call.

        Args:
            tools: functions, Pydantic classes, TypedDicts, LangChain tools or OpenAI's JSON form.
            tool_choice: None or "auto" lets the model choose, "none" forbids a call, "any", "required" or True
                forces one of the tools, a tool's name that one. A forced call always has valid arguments.
            strict: noted in the tool's description, as OpenAI does.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return super().bind(tools=formatted, **kwargs)

    @override
    def with_structured_output(
        self,
        schema: Any,
        *,
        include_raw: bool = False,
        method: Method = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers in the form of `schema`, which constrained decoding guarantees.

        Args:
            schema: a Pydantic class, a TypedDict, or a JSON schema with a title.
            include_raw: answer `{"raw": message, "parsed": object or None, "parsing_error": error or None}`.
            method: see `plan_structured_output`.

        Raises:
            ConstraintError: if `schema` is none of these, or no JSON can match it.
        """
        options, parser = plan_structured_output(schema, method, strict=strict)
        tools = options.pop("tools", None)
        options.pop("strict", None)
        model = self.bind_tools(tools, strict=strict, **options, **kwargs) if tools else self.bind(**options, **kwargs)
        return _with_raw(model, parser) if include_raw else model | parser

    @override
    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        gathered = self._gathered(config, len(inputs))
        return super().batch(inputs, gathered, return_exceptions=return_exceptions, **kwargs)

    @override
    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        gathered = self._gathered(config, len(inputs))
        return await super().abatch(inputs, gathered, return_exceptions=return_exceptions, **kwargs)

    @override
    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return how many tokens the messages take as a prompt of this model, with its chat template and the tools.

        Only the tokenizer is loaded. Where the template refuses the order of the roles, as when a history is cut, the
        messages are counted as turns of one speaker each, which is a few tokens more.

        Args:
            tools: in any form that `bind_tools` takes.

        Raises:
            InputTextError: if a message holds something that is no text.
        """
        if not messages:
            return 0
        template = ChatTemplate(self._tokenizer, self._template_process(self._folder))
        shown = [convert_to_openai_tool(tool) for tool in tools or ()]
        try:
            return len(template.render(messages, tools=shown, template_options=self.template_options))
        except ModelFolderError:
            alone = [HumanMessage(get_buffer_string([message])) for message in messages]
            described = HumanMessage(json.dumps(shown, ensure_ascii=False))
            return sum(len(template.render([turn])) for turn in ([*alone, described] if shown else alone))

    def score_choices(
        self,
        messages: LanguageModelInput,
        choices: Sequence[str],
        *,
        temperature: float = 1.0,
        fitted: FittedChoices | None = None,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Return how likely each choice is as the model's whole answer: choice -> probability, summing to 1.

        Args:
            choices: any number of texts of any length.
            temperature: above 1 flattens the probabilities.
            fitted: what `fit_choices` found for these choices; it calibrates the probabilities.
            kwargs: `tools`, `adapter` and `template_options`, as at any call.

        Raises:
            ConstraintError: if there are no choices, or one of them is empty.
        """
        (call,) = self._prepare(self._convert_input(messages).to_messages(), None, kwargs)
        scores = score_choices(call, choices, temperature=temperature)
        return scores if fitted is None else fitted.apply(scores)

    def fit_choices(
        self,
        rows: Sequence[tuple[LanguageModelInput, str]],
        choices: Sequence[str],
        *,
        num_folds: int = 5,
        seed: int = 0,
        **kwargs: Any,
    ) -> FittedChoices:
        """Return how this model's probabilities of choices are corrected, from rows whose right choice is known.

        A few rows a choice are enough for the temperature; biases of choices are taken where held-out rows bear them
        out. The `report` of the result has accuracy and calibration error before and after, of held-out rows.

        Args:
            rows: (messages as they will be asked, right choice).
            kwargs: as of `score_choices`; use the same there.

        Raises:
            OptionValueError: for fewer rows than folds.
            ConstraintError: if there are no choices, or a label is none of them.
        """
        if unknown := sorted({label for _, label in rows} - set(choices)):
            msg = f"the label {unknown[0]!r} is none of the {len(choices)} choices"
            raise ConstraintError(msg)  # before any row is scored
        scores = [self.score_choices(messages, choices, **kwargs) for messages, _ in rows]
        return fit_choices(scores, [label for _, label in rows], num_folds=num_folds, seed=seed)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        calls = self._prepare(messages, stop, kwargs)
        events = run_requests(calls[0].loaded.engine, [call.request for call in calls])
        return build_result(calls, events)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        calls = await self._aprepare(messages, stop, kwargs)
        engine = calls[0].loaded.engine
        events = await arun_requests(engine, [call.request for call in calls])
        return build_result(calls, events)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = _only(self._prepare(messages, stop, kwargs, wants_pieces=True))
        reply = ReplyStream(call)
        with contextlib.closing(stream_events(call.loaded.engine, call.request)) as events:
            for event in events:
                for chunk in reply.chunks(event):
                    if run_manager:
                        run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
                    yield chunk

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = _only(await self._aprepare(messages, stop, kwargs, wants_pieces=True))
        reply = ReplyStream(call)
        async with contextlib.aclosing(astream_events(call.loaded.engine, call.request)) as events:
            async for event in events:
                for chunk in reply.chunks(event):
                    if run_manager:
                        await run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
                    yield chunk

    def _prepare(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        wants_pieces: bool = False,
    ) -> list[ChatCall]:
        """Return one call per answer that is wanted."""
        options = dict(kwargs)
        if (name := options.pop("model", self.model)) != self.model:
            other = self.__class__(**{**{k: getattr(self, k) for k in self.model_fields_set}, "model": name})
            return other._prepare(messages, stop, options, wants_pieces=wants_pieces)
        adapter = self._adapter(options.pop("adapter", self.adapter))
        options.setdefault("template_options", self.template_options)
        return prepare_call(
            self._loaded_with(adapter),
            messages,
            base=self._options,
            kwargs=options,
            stop=stop,
            adapter=adapter,
            cache_salt=self.cache_salt,
            wants_pieces=wants_pieces,
            model_name=self.model,
        )

    async def _aprepare(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        wants_pieces: bool = False,
    ) -> list[ChatCall]:
        """Prepare a call, in a thread where that could hold up the event loop: loading, or a very long prompt."""
        is_quick = "_loaded" in self.__dict__ and not self.own_process and not set(kwargs) & _SLOW_OPTIONS
        if is_quick and sum(map(_num_chars, messages)) < _SLOW_TO_RENDER_CHARS:
            return self._prepare(messages, stop, kwargs, wants_pieces=wants_pieces)
        return await asyncio.to_thread(self._prepare, messages, stop, kwargs, wants_pieces=wants_pieces)

    def _gathered(self, config: RunnableConfig | list[RunnableConfig] | None, num_inputs: int) -> Any:
        """Return a config under which a batch is asked all at once, as far as the engine takes it."""
        limit = self._loaded.engine.max_running
        self._loaded.engine.expect(num_inputs)
        configs = config if isinstance(config, list) else [config or {}]
        filled = [{**one, "max_concurrency": one.get("max_concurrency") or limit} for one in configs]
        return filled if isinstance(config, list) else filled[0]


def _num_chars(message: BaseMessage) -> int:
    """Return how much of a message is rendered; tool calls count as much, since nobody measures them here."""
    has_calls = isinstance(message, AIMessage) and bool(message.tool_calls or message.invalid_tool_calls)
    return _SLOW_TO_RENDER_CHARS if has_calls else len(message.text)


def _only(calls: list[ChatCall]) -> ChatCall:
    if len(calls) > 1:
        msg = f"a stream holds one answer, got n={len(calls)}; use generate or invoke"
        raise OptionValueError(msg)
    return calls[0]


def _with_raw(model: Runnable[LanguageModelInput, AIMessage], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    not_parsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([not_parsed], exception_key="parsing_error")
