"""A local Hugging Face language model as a LangChain LLM: text in, text out."""

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import GenerationChunk
from pydantic import ConfigDict
from typing_extensions import override

from llms.generation import GenerationFields, stream_text
from llms.options import merge_options
from llms.texts import check_text

__all__ = ["LocalLLM"]


class LocalLLM(GenerationFields, LLM):
    """Continues a text with a model on this machine; the prompt is never repeated in the answer.

    Control tokens in the prompt are plain text to the model; for turns use `LocalChatModel`. The
    arguments are those of `GenerationFields`.

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
    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return "".join(chunk.text for chunk in self._stream(prompt, stop, run_manager, **kwargs))

    @override
    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        options = merge_options(self._options, kwargs, stop=stop)
        encoded: Any = self._loaded.tokenizer(check_text(prompt), split_special_tokens=True)
        for piece in stream_text(self._loaded, encoded["input_ids"], options):
            info = {"finish_reason": piece.finish_reason} if piece.finish_reason else None
            chunk = GenerationChunk(text=piece.text, generation_info=info)
            if run_manager:
                run_manager.on_llm_new_token(piece.text, chunk=chunk)
            yield chunk
