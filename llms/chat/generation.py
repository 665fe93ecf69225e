"""Shared parts of chat and text models: the loaded model, its fields, and tokens to text."""

import functools
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, Field, PrivateAttr, ValidationError
from typing_extensions import override

from llms.chat.rendering import TemplateProcess, shared_template_process
from llms.chat.streaming import Detokenizer, StopFilter
from llms.chat.template import ChatTemplate
from llms.engines.adapters import Adapter
from llms.engines.choosing import EngineOptions, open_engine
from llms.engines.engine import Engine
from llms.engines.process_backend.engine import ProcessLimits, open_process_engine
from llms.errors import TuneChainError, UnsupportedOptionError
from llms.loading import folder_stamp, open_tokenizer, resolve_model
from llms.manifest import check_chat_folder
from llms.options import GenerationOptions, is_option, merge_options
from llms.texts.checks import check_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_TOKENIZER_LOADING = threading.Lock()


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model ready to answer, with the tokenizer saved beside it."""

    engine: Engine
    tokenizer: "PreTrainedTokenizerBase"
    reason: str = ""
    template_process: TemplateProcess | None = None

    @functools.cached_property
    def template(self) -> ChatTemplate:
        """The chat template saved with the model."""
        return ChatTemplate(self.tokenizer, self.template_process)

    @functools.cached_property
    def marker_ids(self) -> frozenset[int]:
        """Control tokens that mark reasoning and tool calls, which have to be seen to be recognised."""
        marks = self.template.dialect.markers
        ids = self.tokenizer.all_special_ids
        return frozenset(i for i in ids if str(self.tokenizer.convert_ids_to_tokens(i)) in marks)

    @functools.cached_property
    def control_ids(self) -> frozenset[int]:
        """Tokens that structure a chat and are no text."""
        return frozenset(self.tokenizer.all_special_ids) | self.engine.end_ids


class GenerationFields(BaseModel):
    """What chat and text models have in common: which model, and how it answers unless a call says otherwise.

    Attributes:
        model: folder or hub id of a transformers causal language model.
        adapters: name -> folder of a PEFT adapter (LoRA, DoRA, AdaLoRA, IA3 or prefix tuning) for this model;
            a call chooses one with `bind(adapter="name")`.
        engine: "auto", "torch" or "openvino"; `engine_reason` says why "auto" took which.
        device: "auto" is the GPU if there is one.
        precision: "auto" keeps that of the saved weights; "float32", "bfloat16", or "int8" weights. `dtype` is
            understood too, its name in earlier versions.
        max_kv_cache_mb: ceiling for the keys and values of all running and earlier prompts, in MiB.
        cache_salt: whose model this is, where several share the weights, such as the name of a tenant: how long an
            answer takes then tells nothing about the prompts that were asked under another one.
        prompt_lookup: guess tokens from the context. Answers stay the same; those that quote their context come
            several times faster to one user at a time, while many at once are slowed down on OpenVINO.
        max_tokens: length of an answer at most.
        temperature: 0 is greedy.
        top_p: keep the likeliest tokens that together reach this probability.
        top_k: keep this many of the likeliest tokens.
        min_p: drop tokens less likely than this share of the likeliest one.
        seed: makes sampling repeat.
        repetition_penalty: above 1, tokens that were there already become less likely.
        presence_penalty: taken from the logit of each token that the answer already holds.
        frequency_penalty: the same, times the number of its occurrences.
        stop: texts before which an answer ends.
        timeout: seconds after which a call fails.
        own_process: run the model in a process of its own, which is started again where it ends or hangs; calls
            meanwhile get an `EngineStoppedError`.
        max_process_memory_mb: resident memory in MiB above which that process is ended and started again (Linux).
        allow_download: fetch a hub id that is not on this machine.
    """

    model: str
    adapters: dict[str, str] = Field(default_factory=dict)
    engine: str = "auto"
    device: str = "auto"
    precision: str = Field(default="auto", validation_alias=AliasChoices("precision", "dtype"))
    max_kv_cache_mb: int = 1024
    cache_salt: str = ""
    prompt_lookup: bool = False
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: list[str] | None = None
    timeout: float | None = None
    own_process: bool = False
    max_process_memory_mb: int | None = None
    allow_download: bool = False

    _folder: Path = PrivateAttr()
    _options: GenerationOptions = PrivateAttr()
    _adapters: dict[str, Adapter] = PrivateAttr()
    _engine_options: EngineOptions = PrivateAttr()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:  # pydantic wraps what is a ValueError, our own errors among them
            own = [entry.get("ctx", {}).get("error") for entry in error.errors(include_url=False)]
            if isinstance(own[0], TuneChainError):
                raise own[0] from None
            raise

    @override
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        own = {name: getattr(self, name) for name in GenerationFields.model_fields if is_option(name)}
        self._options = merge_options(GenerationOptions(), own)
        self._engine_options = EngineOptions(
            engine=self.engine,
            device=self.device,
            precision=self.precision,
            kv_cache_bytes=self.max_kv_cache_mb * 2**20,
            prompt_lookup=self.prompt_lookup,
            has_adapters=bool(self.adapters),
        )
        self._folder = resolve_model(self.model, allow_download=self.allow_download)
        self._adapters = {name: Adapter.at(folder) for name, folder in self.adapters.items()}
        for adapter in self._adapters.values():
            check_chat_folder(adapter.folder)

    @property
    def engine_reason(self) -> str:
        """Why this engine runs the model; loads the model if that has not happened yet."""
        return self._loaded.reason

    @property
    def is_ready(self) -> bool:
        """Whether a call could begin at once: not while its process is started again; loads the model if need be."""
        return self._loaded.engine.is_ready

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of a text's tokens as this model reads it, control tokens in it as plain text.

        Only the tokenizer is loaded. LangChain's counting and trimming of texts and messages rest on this.

        Raises:
            InputTextError: if the text is none, or holds half a character.
        """
        custom = getattr(self, "custom_get_token_ids", None)  # a field of LangChain's base class
        if custom is not None:
            return list(custom(text))
        encoded: Any = self._tokenizer(check_text(text), add_special_tokens=False, split_special_tokens=True)
        ids: list[int] = encoded["input_ids"]
        return ids

    @functools.cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        return load_tokenizer(self._folder)

    @functools.cached_property
    def _loaded(self) -> LoadedModel:
        loaded = load_language_model(self._folder, self._engine_options, process_limits=self._process_limits)
        return replace(loaded, template_process=self._template_process(self._folder))

    @property
    def _process_limits(self) -> ProcessLimits | None:
        if not self.own_process:
            return None
        ceiling_mb = self.max_process_memory_mb
        return ProcessLimits(memory_bytes=None if ceiling_mb is None else ceiling_mb * 2**20)

    def _loaded_with(self, adapter: Adapter | None) -> LoadedModel:
        """Return the loaded model with the tokenizer and chat template the adapter was trained with, if it has any."""
        if adapter is None or not (adapter.folder / "tokenizer_config.json").is_file():
            return self._loaded
        process = self._template_process(adapter.folder)
        tokenizer = _shared_tokenizer(adapter.folder, adapter.stamp)
        return replace(self._loaded, tokenizer=tokenizer, template_process=process)

    def _template_process(self, folder: Path) -> TemplateProcess | None:
        return shared_template_process(folder, folder_stamp(folder)) if self.own_process else None

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    def _adapter(self, name: str | None) -> Adapter | None:
        if name is None:
            return None
        if name not in self._adapters:
            known = ", ".join(sorted(self._adapters)) or "none"
            msg = f"there is no adapter {name!r}; this model was given: {known}"
            raise UnsupportedOptionError(msg)
        return self._adapters[name]


def load_language_model(
    folder: Path, options: EngineOptions, *, process_limits: ProcessLimits | None = None
) -> LoadedModel:
    """Return the model in `folder`; the same files and options are loaded once and then shared.

    Args:
        process_limits: of the process that the model is to run in; None for this one.

    Raises:
        ModelFolderError: if the folder is no causal language model with a tokenizer, or its tokenizer and chat
            template are not those it was trained with.
        EngineError: if `options` name an engine that cannot run this model.
    """
    tokenizer = load_tokenizer(folder)
    if process_limits is not None:
        process_engine = open_process_engine(folder, options, process_limits)
        return LoadedModel(process_engine, tokenizer, process_engine.reason)
    engine, reason = open_engine(folder, tokenizer, options)
    return LoadedModel(engine, tokenizer, reason)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in `folder`; the same files are loaded once and then shared.

    Raises:
        ModelFolderError: if there is none, or it and its chat template are not those the model was trained with.
    """
    check_chat_folder(folder)
    return _shared_tokenizer(folder, folder_stamp(folder))


def _shared_tokenizer(folder: Path, stamp: object) -> "PreTrainedTokenizerBase":
    with _TOKENIZER_LOADING:
        return _load_tokenizer_once(folder, stamp)


@functools.lru_cache(maxsize=8)
def _load_tokenizer_once(folder: Path, _stamp: object) -> "PreTrainedTokenizerBase":
    return open_tokenizer(folder)


@dataclass
class TextStream:
    """Token ids to the text that may be shown: whole characters, up to the first stop text."""

    detokenizer: Detokenizer
    stop: StopFilter = field(default_factory=lambda: StopFilter(()))

    @classmethod
    def of(cls, model: LoadedModel, options: GenerationOptions, *, shown_ids: Collection[int] = ()) -> "TextStream":
        """Return the stream of one answer; control tokens other than `shown_ids` are hidden."""
        hidden = model.control_ids - set(shown_ids)
        return cls(Detokenizer(model.tokenizer, hidden_ids=hidden), StopFilter(options.stop))

    def push(self, ids: "Collection[int]") -> str:
        """Return the text that `ids` add."""
        return self.stop.push(self.detokenizer.push(list(ids)))

    def finish(self) -> str:
        """Return what was held back."""
        return self.stop.push(self.detokenizer.finish()) + self.stop.finish()


class StopWatch:
    """Tells an engine that an answer has reached a stop text, so that not one further token is made.

    Args:
        stream: a stream of this watch's own; the shown text comes from another one.
    """

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream

    def __call__(self, token_id: int) -> bool:
        """Return whether the answer ends with this token."""
        self._stream.push([token_id])
        return self._stream.stop.found
