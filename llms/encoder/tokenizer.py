"""Tokenizers of encoders: the tokens of a pipeline of sentence-transformers, made fast and from any thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llms.arrays import IntArray
from llms.encoder.sentences import PROBES
from llms.encoder.text_encoder import PreparedText, Role
from llms.encoder.token_batches import pad_rows
from llms.errors import EngineError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer


_ROLES: tuple[Role, ...] = ("query", "document", "plain")
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "plain": (),
}
# what each does to the vectors is known; anything else might read more than ids and mask, or change the texts
_KNOWN_MODULES = frozenset({"Dense", "Dropout", "LayerNorm", "Normalize", "Pooling", "Transformer"})
_KNOWN_INPUTS = frozenset({"attention_mask", "input_ids", "token_type_ids"})
_CHUNK_TEXTS = 1024  # tokenised at a time: the library's own rows take ten times the memory of the ids alone
_LONGEST_PROBE_TOKENS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTokenizer:
    """Texts to token ids with the prompt of their role before them, cut where the model ends.

    Attributes:
        tokenizer: with truncation set and without padding; it is never changed, so threads may share it.
        prompts: role -> what stands before each text.
        pads_left: whether padding stands before a text.
        input_names: what the network takes, of input_ids, attention_mask and token_type_ids.
    """

    tokenizer: "Tokenizer"
    prompts: Mapping[str, str]
    pad_id: int
    pads_left: bool
    input_names: tuple[str, ...]

    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        """Return the texts with their tokens, in their order."""
        prompt = self.prompts[role]
        prepared: list[PreparedText] = []
        for begin in range(0, len(texts), _CHUNK_TEXTS):
            chunk = texts[begin : begin + _CHUNK_TEXTS]
            rows = self.tokenizer.encode_batch_fast([prompt + text for text in chunk])
            prepared += [
                PreparedText(text, role, np.asarray(row.ids, dtype=np.int64), len(row.ids))
                for text, row in zip(chunk, rows, strict=True)
            ]
        return prepared

    def inputs(self, batch: Sequence[PreparedText], *, token_step: int = 1) -> dict[str, IntArray]:
        """Return what the network takes for a batch, by name, each (texts, tokens) int64.

        Args:
            token_step: of which the number of tokens is made a multiple, by more padding.
        """
        rows = [text.ids for text in batch if text.ids is not None]
        ids, mask = pad_rows(rows, pad_id=self.pad_id, pads_left=self.pads_left, token_step=token_step)
        arrays = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.input_names:
            arrays["token_type_ids"] = np.zeros_like(ids)
        return arrays


def take_tokenizer(model: "SentenceTransformer") -> EncoderTokenizer:
    """Return the tokenizer of a model after comparing its tokens with those of the model's own pipeline.

    Raises:
        EngineError: if the pipeline does anything else before or between its network's layers; the message says what.
    """
    _refuse_other_modules(model)
    source: Any = model.tokenizer
    if not getattr(source, "is_fast", False):
        msg = f"its tokenizer is of another kind ({type(source).__name__})"
        raise EngineError(msg)
    prompts: dict[str, str] = {role: _prompt(model, role) for role in _ROLES}
    features: Any = model.preprocess([PROBES[0]])
    taken = EncoderTokenizer(
        tokenizer=_without_padding(source),
        prompts=prompts,
        pad_id=int(source.pad_token_id or 0),
        pads_left=source.padding_side == "left",
        input_names=tuple(sorted(name for name in features if name in _KNOWN_INPUTS)),
    )
    for role in _ROLES:
        _compare(model, taken, role)
    return taken


def _refuse_other_modules(model: "SentenceTransformer") -> None:
    for module in model:
        kind = type(module).__name__
        if kind not in _KNOWN_MODULES or not type(module).__module__.startswith("sentence_transformers."):
            msg = f"its pipeline has a part of another kind ({kind})"
            raise EngineError(msg)
        if kind == "Pooling" and not module.include_prompt and any((model.prompts or {}).values()):
            msg = "its pooling leaves the prompt out"
            raise EngineError(msg)


def _prompt(model: "SentenceTransformer", role: Role) -> str:
    """Return the prompt that the model's library puts before a text of this role."""
    prompts = model.prompts or {}
    names = [*_PROMPT_NAMES[role], model.default_prompt_name]
    return next((prompts[name] or "" for name in names if name in prompts), "")


def _without_padding(source: Any) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(source.backend_tokenizer.to_str())  # a copy: the library sets its own at each call
    tokenizer.no_padding()
    if source.model_max_length > 10**9:  # the library's way to say that there is no limit
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(source.model_max_length, direction=source.truncation_side)
    return tokenizer


def _compare(model: "SentenceTransformer", taken: EncoderTokenizer, role: Role) -> None:
    limit = model.max_seq_length or 0
    texts = [*PROBES, "", " A\n\tB  c ", "ＡＢＣ é ﬁ 😀"]
    if limit <= _LONGEST_PROBE_TOKENS:
        texts.append("word " * (limit + 8))  # to be cut
    task = {} if role == "plain" else {"task": role}
    features: dict[str, Any] = model.preprocess(texts, prompt=taken.prompts[role] or None, **task)
    arrays = {name: value.numpy() for name, value in features.items() if hasattr(value, "numpy")}
    if unknown := sorted(set(arrays) - _KNOWN_INPUTS):
        msg = f"its network takes {unknown[0]} too"
        raise EngineError(msg)
    ours = taken.inputs(taken.prepare(texts, role))
    for name, expected in arrays.items():
        if name not in ours or not np.array_equal(ours[name], expected):
            msg = f"its own tokens of a {role} text differ ({name})"
            raise EngineError(msg)


def longest_input(tokenizer: Any, config: Any) -> int:
    """Return how many tokens a network reads at once; many tokenizers name no limit of their own."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    if "roberta" in config.model_type or config.model_type == "camembert":  # they count positions from pad_id + 1
        positions -= int(config.pad_token_id or 0) + 1
    return min(int(tokenizer.model_max_length), positions)
