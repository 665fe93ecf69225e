"""Request schemas of OpenAI's API; a parameter that is not here is refused, unless its value asks for nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_MESSAGES = 500
MAX_CHOICES = 8
MAX_INPUTS = 2048  # as OpenAI; LangChain's client sends a thousand at once
_Name = Annotated[str, Field(min_length=1, max_length=200)]


def _drop_nulls(value: Any) -> Any:
    """Return an object without its nulls: for OpenAI's clients null and absent are the same."""
    if not isinstance(value, Mapping):
        return value
    return {name: entry for name, entry in value.items() if entry is not None}


def _is_nothing(value: Any) -> bool:
    return value is False or (isinstance(value, str | list | dict) and not value)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_absent(cls, value: Any) -> Any:
        """Leave out nulls, and what is not known here but asks for nothing, such as `annotations: []`."""
        if not isinstance(value, Mapping):
            return value
        known = {name for key, field in cls.model_fields.items() for name in (key, field.alias)}
        return {name: entry for name, entry in _drop_nulls(value).items() if name in known or not _is_nothing(entry)}


def _none_for_empty(value: Any) -> Any:
    return None if _is_nothing(value) else value


def _refuse_tokens(value: Any) -> Any:
    """Refuse what clients send that count tokens with OpenAI's tokenizer, and say how they stop it."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, int | list):
        msg = (
            "these are numbers of tokens of OpenAI's tokenizer, which this encoder does not have; send texts (in "
            "LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
        )
        raise ValueError(msg)  # pydantic takes this kind
    if isinstance(value, list) and len(value) > MAX_INPUTS:
        msg = f"at most {MAX_INPUTS:,} texts at a time, got {len(value):,}; send them in parts"
        raise ValueError(msg)
    return value


class TextPart(_Wire):
    """A piece of text."""

    type: Literal["text"]
    text: str


Content = str | Annotated[tuple[TextPart, ...], Field(max_length=100)]


class ContextMessage(_Wire):
    """What the model is told beforehand."""

    role: Literal["system", "developer"]
    content: Content
    name: _Name | None = None


class UserMessage(_Wire):
    """What a person said."""

    role: Literal["user"]
    content: Content
    name: _Name | None = None


class CalledFunction(_Wire):
    """Which function, with what."""

    name: _Name
    arguments: str = Field(description="A JSON object.")


class ToolCall(_Wire):
    """A call of a tool that the model asked for."""

    id: _Name
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(_Wire):
    """What the model said."""

    role: Literal["assistant"]
    content: Content = ""
    name: _Name | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    annotations: tuple[dict[str, Any], ...] = Field(
        default=(),
        max_length=1000,
        description="Links behind an earlier answer; taken as clients send them back, unused.",
    )
    tool_calls: tuple[ToolCall, ...] = Field(default=(), max_length=128)


class ToolMessage(_Wire):
    """What a tool answered."""

    role: Literal["tool"]
    content: Content
    tool_call_id: _Name


Message = Annotated[
    ContextMessage | UserMessage | AssistantMessage | ToolMessage,
    Field(discriminator="role"),
    BeforeValidator(_drop_nulls),
]


class Function(_Wire):
    """A function that the model may call."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field(default="", max_length=10_000)
    parameters: dict[str, Any] = Field(default={"type": "object", "properties": {}}, description="A JSON schema.")
    strict: bool | None = None


class Tool(_Wire):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function


class NamedFunction(_Wire):
    """A function by its name."""

    name: _Name


class NamedTool(_Wire):
    """A tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(_Wire):
    """A JSON schema with a name."""

    name: _Name
    description: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextFormat(_Wire):
    """Free text."""

    type: Literal["text"]


class ObjectFormat(_Wire):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(_Wire):
    """JSON that matches a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(_Wire):
    """What a stream brings besides the answer."""

    include_usage: bool = False


class TemplateOptions(BaseModel):
    """What a client may set of the model's own chat template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enable_thinking: bool


class ChatRequest(_Wire):
    """A conversation to be continued."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"model": "customer-service", "messages": [{"role": "user", "content": "Where is my parcel?"}]}
            ]
        },
    )

    model: _Name = Field(description="`customer-service`, or `chat` for the workspace's chat model.")
    messages: tuple[Message, ...] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="The newer name of `max_tokens`.")
    stop: Annotated[str | Annotated[tuple[str, ...], Field(max_length=4)] | None, BeforeValidator(_none_for_empty)] = (
        None
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    n: int = Field(default=1, ge=1, le=MAX_CHOICES)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    presence_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    frequency_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    chat_template_kwargs: TemplateOptions | None = Field(
        default=None, description="`enable_thinking` switches the reasoning of models that can do without."
    )
    modalities: tuple[Literal["text"], ...] = Field(default=("text",), description="Answers are texts.")
    service_tier: Literal["auto", "default"] = "auto"
    user: str | None = Field(default=None, max_length=200, description="A label of the client's own; not used.")

    @model_validator(mode="after")
    def _check_together(self) -> "ChatRequest":
        problem = next((text for is_wrong, text in self._combinations() if is_wrong), None)
        if problem:
            raise ValueError(problem)
        return self

    def _combinations(self) -> tuple[tuple[bool, str], ...]:
        lengths = {self.max_tokens, self.max_completion_tokens} - {None}
        return (
            (len(lengths) > 1, "max_tokens and max_completion_tokens are the same; send one of them"),
            (self.stream_options is not None and not self.stream, "stream_options is only for stream=true"),
            (self.stream and self.n > 1, "a stream holds one answer; send n=1"),
            (self.top_logprobs is not None and not self.logprobs, "top_logprobs is only for logprobs=true"),
            (self.tool_choice not in (None, "none", "auto") and not self.tools, "tool_choice needs tools"),
        )

    @property
    def wants_usage(self) -> bool:
        """Whether the end of a stream is to tell the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class EmbeddingsRequest(_Wire):
    """Texts to be turned into vectors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"model": "embeddings", "input": ["red shoe"], "encoding_format": "float"}]},
    )

    model: _Name = Field(description="`embeddings`: the workspace's encoder.")
    input: Annotated[
        str | Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_INPUTS)], BeforeValidator(_refuse_tokens)
    ] = Field(description="Texts; arrays of token numbers are refused, since they belong to another tokenizer.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, description="Must be what the workspace's encoder gives.")
    user: str | None = Field(default=None, max_length=200, description="A label of the client's own; not used.")
