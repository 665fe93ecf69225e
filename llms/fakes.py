"""Fakes: deterministic stand-ins without weights, for tests of this library and of code that uses it."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr
from typing_extensions import override

from llms.chat.streaming import StopFilter
from llms.classifier.results import Classification
from llms.errors import UnknownOptionError
from llms.options import GenerationOptions, merge_options
from llms.tagger.results import Span, Tagging
from llms.texts.checks import check_text

__all__ = ["FixedClassifier", "FixedTagger", "HashedEmbeddings", "ScriptedChatModel"]

# what a chat model takes beside the options of `GenerationOptions`
_CHAT_OPTIONS = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "response_format", "n", "logprobs", "top_logprobs"}
)


class HashedEmbeddings(Embeddings):
    """Unit vectors from hashed lower-case words: texts that share words are close, nothing is learnt.

    Example:
        >>> vectors = HashedEmbeddings(dimension=8).embed_documents(["red shoe", "red shoe"])
        >>> len(vectors[0]), vectors[0] == vectors[1]
        (8, True)
    """

    def __init__(self, *, dimension: int = 64) -> None:
        self.dimension = dimension

    @property
    def fingerprint(self) -> str:
        """A name that changes whenever the vectors would."""
        return f"hashed-{self.dimension}"

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._embed(text) for text in texts]

    @override
    def embed_query(self, text: str) -> list[float]:
        return self._embed(text)

    def _embed(self, text: str) -> list[float]:
        vector = np.zeros(self.dimension)
        for word in check_text(text).lower().split() or [""]:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimension)
        unit: list[float] = (vector / np.linalg.norm(vector)).tolist()
        return unit


class FixedClassifier(Runnable[str, Classification]):
    """A classifier that answers from a table of words: the first word found in the text decides.

    Args:
        labels_by_word: word -> label; looked for in lower case, in the order given.
        default: the label where no word is found; it comes with `accepted=False`.

    Example:
        >>> FixedClassifier({"refund": "refund_status"}).invoke("Where is my REFUND?").label
        'refund_status'
    """

    def __init__(self, labels_by_word: Mapping[str, str], *, default: str = "other", probability: float = 0.9) -> None:
        self.labels_by_word = dict(labels_by_word)
        self.default = default
        self.probability = probability

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Classification:
        if kwargs:
            msg = f"a classifier takes no call options, got {sorted(kwargs)}; set them at construction"
            raise UnknownOptionError(msg)
        text = check_text(input).lower()
        found = [label for word, label in self.labels_by_word.items() if word in text]
        labels = list(dict.fromkeys([*self.labels_by_word.values(), self.default]))
        label = found[0] if found else self.default
        probability = self.probability if len(labels) > 1 else 1.0
        rest = (1.0 - probability) / max(len(labels) - 1, 1)
        return Classification(
            label=label,
            probability=probability,
            probabilities={label: probability} | {name: rest for name in labels if name != label},
            in_scope=1.0 if found else 0.0,
            accepted=bool(found),
        )


class FixedTagger(Runnable[str, Tagging]):
    """A tagger that answers from a table of terms: each place where one stands as a whole word is a span.

    Args:
        labels_by_term: term -> label; capitals do not matter, and of terms that overlap the longest counts.

    Example:
        >>> FixedTagger({"lyon": "place"}).invoke("From Lyon").spans[0].label
        'place'
    """

    def __init__(self, labels_by_term: Mapping[str, str], *, probability: float = 0.9) -> None:
        self.labels_by_term = {term.lower(): label for term, label in labels_by_term.items()}
        self.probability = probability
        terms = sorted(self.labels_by_term, key=lambda term: (-len(term), term))
        pattern = "|".join(rf"(?<!\w){re.escape(term)}(?!\w)" if term.isascii() else re.escape(term) for term in terms)
        self._pattern = re.compile(pattern or r"(?!)", re.IGNORECASE)

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Tagging:
        if kwargs:
            msg = f"a tagger takes no call options, got {sorted(kwargs)}; set them at construction"
            raise UnknownOptionError(msg)
        spans = tuple(
            Span(
                start=found.start(),
                end=found.end(),
                label=self.labels_by_term[found.group().lower()],
                text=found.group(),
                probability=self.probability,
            )
            for found in self._pattern.finditer(check_text(input))
        )
        return Tagging(text=input, spans=spans)


class ScriptedChatModel(BaseChatModel):
    """A chat model that gives the answers of a script in turn and remembers what it was asked.

    As the real one it ends before a stop text and refuses options that do not exist. An answer is a text, or a whole
    message with tool calls and usage; tools and formats are remembered but do not change what comes.

    Example:
        >>> model = ScriptedChatModel(answers=["yes", "no"])
        >>> model.invoke("first?").text, model.invoke("second?").text, model.invoke("third?").text
        ('yes', 'no', 'yes')
    """

    answers: Sequence[str | AIMessage]
    _prompts: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _options: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _num_given: int = PrivateAttr(default=0)

    @property
    def prompts(self) -> list[list[BaseMessage]]:
        """The messages of every call so far, oldest first."""
        return self._prompts

    @property
    def options(self) -> list[dict[str, Any]]:
        """The options of every call so far, oldest first."""
        return self._options

    @property
    @override
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        chosen = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **chosen, **kwargs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        stops = self._take_call(messages, stop, kwargs)
        replies = [self._next_answer(stops) for _ in range(kwargs.get("n") or 1)]
        return ChatResult(generations=[ChatGeneration(message=reply) for reply in replies])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._next_answer(self._take_call(messages, stop, kwargs))
        for word in re.findall(r"\S+\s*|\s+", reply.text) or [""]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        if reply.tool_calls or reply.usage_metadata:
            calls = [
                tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
                for place, call in enumerate(reply.tool_calls)
            ]
            end = AIMessageChunk(content="", tool_call_chunks=calls, usage_metadata=reply.usage_metadata)
            yield ChatGenerationChunk(message=end)

    def _take_call(self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]) -> Sequence[str]:
        """Remember a call and return what ends its answers."""
        known = {name: value for name, value in options.items() if name not in _CHAT_OPTIONS}
        stops = merge_options(GenerationOptions(), known, stop=stop).stop
        self._prompts.append(messages)
        self._options.append(options)
        return stops

    def _next_answer(self, stops: Sequence[str]) -> AIMessage:
        answer = self.answers[self._num_given % len(self.answers)]
        self._num_given += 1
        message = AIMessage(answer) if isinstance(answer, str) else answer
        shown = StopFilter(stops)
        return message.model_copy(update={"content": shown.push(message.text) + shown.finish()})
