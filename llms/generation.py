"""What chat and text models share: a loaded model, and prompt ids to a stream of text."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, PrivateAttr
from typing_extensions import override

from llms.device import choose_device
from llms.encoder import quiet_loading
from llms.engines.engine import Engine
from llms.engines.torch_engine import load_torch_engine
from llms.errors import ContextOverflowError, InputTextError, ModelFolderError
from llms.loading import folder_stamp, resolve_model
from llms.options import GenerationOptions
from llms.stopping import StopFilter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["GenerationFields", "LoadedModel", "TextPiece", "load_language_model", "stream_text"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model ready to answer, with the tokenizer saved beside it."""

    engine: Engine
    tokenizer: "PreTrainedTokenizerBase"


class GenerationFields(BaseModel):
    """What chat and text models have in common: which model, and how it answers unless a call says otherwise.

    Attributes:
        model: folder or hub id of a transformers causal language model.
        max_tokens: length of an answer at most.
        temperature: 0 is greedy.
        stop: texts before which an answer ends.
        seed: makes sampling repeat.
        dtype: "auto" keeps the precision the weights were saved in.
    """

    model: str
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    device: str = "auto"
    dtype: str = "auto"
    allow_download: bool = False

    _folder: Path = PrivateAttr()
    _options: GenerationOptions = PrivateAttr()

    @override
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._options = GenerationOptions(
            max_new_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            stop=tuple(self.stop or ()),
        )
        self._folder = resolve_model(self.model, allow_download=self.allow_download)

    @functools.cached_property
    def _loaded(self) -> "LoadedModel":
        return load_language_model(self._folder, device=self.device, dtype=self.dtype)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": self.max_tokens, "temperature": self.temperature}


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of an answer; `finish_reason` ("stop" or "length") stands on the last one only."""

    text: str
    num_output_tokens: int
    finish_reason: str | None = None


def load_language_model(folder: Path, *, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Return the model in `folder`; the same files are loaded once and then shared.

    Raises:
        ModelFolderError: if the folder is no causal language model with a tokenizer.
    """
    return _load_language_model(folder, folder_stamp(folder), choose_device(device), dtype)


@functools.lru_cache(maxsize=4)
def _load_language_model(folder: Path, _stamp: object, device: str, dtype: str) -> LoadedModel:
    from transformers import AutoTokenizer

    engine = load_torch_engine(folder, device=device, dtype=dtype)
    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        msg = f"the tokenizer in {folder} cannot be loaded: {error}"
        raise ModelFolderError(msg) from error
    return LoadedModel(engine, tokenizer)


def stream_text(model: LoadedModel, prompt_ids: Sequence[int], options: GenerationOptions) -> Iterator[TextPiece]:
    """Yield the answer in pieces of whole characters, the last with its finish reason.

    Raises:
        InputTextError: if the prompt has no token at all.
        ContextOverflowError: before any work, if prompt and `max_new_tokens` exceed the model's context.
    """
    if not prompt_ids:
        msg = "the prompt is empty, there is nothing to continue; pass at least one character"
        raise InputTextError(msg)
    needed, limit = len(prompt_ids) + options.max_new_tokens, model.engine.context_tokens
    if needed > limit:
        msg = (
            f"prompt ({len(prompt_ids)} tokens) and answer (up to {options.max_new_tokens}) need {needed} tokens, "
            f"the model takes {limit}; shorten the prompt or lower max_tokens"
        )
        raise ContextOverflowError(msg)
    return _pieces(model, prompt_ids, options)


def _pieces(model: LoadedModel, prompt_ids: Sequence[int], options: GenerationOptions) -> Iterator[TextPiece]:
    stop = StopFilter(options.stop)
    ids: list[int] = []
    done = ""
    for token_id in model.engine.generate(prompt_ids, options):
        ids.append(token_id)
        text = _decode(model.tokenizer, ids)
        if text.endswith("\ufffd"):  # half of a character; the rest comes with the next token
            continue
        shown = stop.push(text[len(done) :])
        done = text
        if stop.found:
            yield TextPiece(shown, len(ids), "stop")
            return
        if shown:
            yield TextPiece(shown, len(ids))
    rest = stop.push(_decode(model.tokenizer, ids)[len(done) :]) + stop.finish()
    is_cut = len(ids) >= options.max_new_tokens and not stop.found
    yield TextPiece(rest, len(ids), "length" if is_cut else "stop")


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    # without clean-up, which changes text that has already been shown
    text: Any = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)
