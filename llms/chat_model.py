"""A local Hugging Face chat model as a complete LangChain chat model: messages in, message out."""

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict
from typing_extensions import override

from llms.chat_template import render_messages
from llms.generation import GenerationFields, TextPiece, stream_text
from llms.options import merge_options

__all__ = ["LocalChatModel"]


class LocalChatModel(GenerationFields, BaseChatModel):
    """A chat model that runs on this machine, from a folder or the local hub cache.

    The tokenizer and chat template saved with the model are the ones used. Control tokens in message texts are
    plain text to the model. Options that do not exist are errors, at construction and at each call.

    The arguments are those of `GenerationFields`.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ContextOverflowError: at a call, if prompt and answer do not fit.
    """

    model_config = ConfigDict(extra="forbid")  # LangChain's base class would ignore what it does not know

    streaming: bool = False
    """Whether `invoke` reports each token to callbacks as it comes; LangChain reads this field."""

    @property
    @override
    def _llm_type(self) -> str:
        return "tunechain-chat"

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "tunechain"
        params["ls_model_name"] = kwargs.get("model", self.model)
        return params

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop=stop, run_manager=run_manager, **kwargs))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = merge_options(self._options, kwargs, stop=stop)
        prompt_ids = render_messages(self._loaded.tokenizer, messages)
        for piece in stream_text(self._loaded, prompt_ids, options):
            chunk = self._chunk(piece, num_input_tokens=len(prompt_ids))
            if run_manager:
                run_manager.on_llm_new_token(piece.text, chunk=chunk)
            yield chunk

    def _chunk(self, piece: TextPiece, *, num_input_tokens: int) -> ChatGenerationChunk:
        if piece.finish_reason is None:
            return ChatGenerationChunk(message=AIMessageChunk(content=piece.text))
        usage = UsageMetadata(
            input_tokens=num_input_tokens,
            output_tokens=piece.num_output_tokens,
            total_tokens=num_input_tokens + piece.num_output_tokens,
        )
        details = {"finish_reason": piece.finish_reason, "model_name": self.model}
        message = AIMessageChunk(
            content=piece.text, usage_metadata=usage, response_metadata=details, chunk_position="last"
        )
        return ChatGenerationChunk(message=message, generation_info=details)
