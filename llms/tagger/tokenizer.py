"""Tokenizers of taggers: tokens, the words they belong to, and the windows they are read in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llms.arrays import IntArray
from llms.encoder.token_batches import pad_rows
from llms.errors import ModelFolderError
from llms.texts.words import token_spans

if TYPE_CHECKING:
    from tokenizers import Tokenizer


NUM_SHAPES = 4  # no capital, a first one, nothing but capitals, others
_OVERLAP_SHARE = 0.25  # of a window that the next one reads again


@dataclass(frozen=True, slots=True)
class TaggerText:
    """A text that is ready for the model.

    Attributes:
        ids: (tokens,) without those that stand around every text.
        shapes: (tokens,) how each token is written: 0 no capital, 1 a first one, 2 nothing but capitals, 3 others.
        words: (words, 3) first character, end character, and the first token, which is the one that is asked.
    """

    text: str
    ids: IntArray
    shapes: IntArray
    words: IntArray

    def words_of(self, start: int, end: int) -> tuple[int, int]:
        """Return first and end word (exclusive) of those that the characters from `start` to `end` touch."""
        touched = np.flatnonzero((self.words[:, 0] < end) & (self.words[:, 1] > start))
        return (int(touched[0]), int(touched[-1]) + 1) if len(touched) else (0, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text's tokens that the model reads at once.

    Attributes:
        begin, end: its first token and the one behind its last.
        own_begin, own_end: the tokens it is asked about; the others are asked where they stand further inside.
    """

    begin: int
    end: int
    own_begin: int
    own_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggerTokenizer:
    """Texts to tokens; a control token in a text is read as text.

    Attributes:
        tokenizer: without truncation and padding; it is never changed, so threads may share it.
        before, after: ids that stand around every text.
        max_tokens: what the model reads at once, those ids included.
        reads_shapes: whether the network takes shapes as token types: a tokenizer that drops capitals loses names.
    """

    tokenizer: "Tokenizer"
    before: tuple[int, ...]
    after: tuple[int, ...]
    pad_id: int
    max_tokens: int
    input_names: tuple[str, ...]
    reads_shapes: bool = False

    @classmethod
    def take(
        cls, source: Any, *, max_tokens: int, input_names: Sequence[str], reads_shapes: bool = False
    ) -> "TaggerTokenizer":
        """Return the tokens of a transformers tokenizer; its own settings are left alone.

        Raises:
            ModelFolderError: if it cannot say where in the text its tokens stand.
        """
        from tokenizers import Tokenizer

        if not source.is_fast:
            msg = f"{type(source).__name__} does not tell where its tokens stand; save the model with a tokenizer.json"
            raise ModelFolderError(msg)
        tokenizer = Tokenizer.from_str(source.backend_tokenizer.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        _part_signs(tokenizer)
        around = tokenizer.encode("a")
        own = [index for index, is_special in enumerate(around.special_tokens_mask) if not is_special]
        return cls(
            tokenizer=tokenizer,
            before=tuple(around.ids[: own[0]]),
            after=tuple(around.ids[own[-1] + 1 :]),
            pad_id=int(source.pad_token_id or 0),
            max_tokens=max_tokens,
            input_names=tuple(input_names),
            reads_shapes=reads_shapes,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What must be kept beside the tokenizer's own file, ready for JSON."""
        return {
            "before": list(self.before),
            "after": list(self.after),
            "pad_id": self.pad_id,
            "max_tokens": self.max_tokens,
            "input_names": list(self.input_names),
            "reads_shapes": self.reads_shapes,
        }

    @classmethod
    def from_settings(cls, tokenizer: "Tokenizer", settings: Mapping[str, Any]) -> "TaggerTokenizer":
        """Return what `settings` was taken from."""
        tokenizer.encode_special_tokens = True  # the file does not keep it
        return cls(
            tokenizer=tokenizer,
            before=tuple(settings["before"]),
            after=tuple(settings["after"]),
            pad_id=settings["pad_id"],
            max_tokens=settings["max_tokens"],
            input_names=tuple(settings["input_names"]),
            reads_shapes=settings["reads_shapes"],
        )

    def prepare(self, texts: Sequence[str]) -> list[TaggerText]:
        """Return the texts with their tokens, in their order."""
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [_tagger_text(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]

    def windows(self, text: TaggerText) -> list[Window]:
        """Return the windows a text is read in; none for a text without tokens."""
        size = max(1, self.max_tokens - len(self.before) - len(self.after))
        return list(plan_windows(len(text.ids), size=size))

    def row(self, text: TaggerText, window: Window) -> tuple[IntArray, IntArray]:
        """Return ids and token types of a window, with the ids that stand around every text."""
        part = slice(window.begin, window.end)
        ids = np.concatenate([self.before, text.ids[part], self.after]).astype(np.int64)
        types = np.zeros_like(ids)
        if self.reads_shapes:
            types[len(self.before) : len(ids) - len(self.after)] = text.shapes[part]
        return ids, types

    def inputs(self, rows: Sequence[tuple[IntArray, IntArray]]) -> dict[str, IntArray]:
        """Return what the network takes for some windows, by name, each (windows, tokens) int64."""
        ids, mask = pad_rows([ids for ids, _ in rows], pad_id=self.pad_id)
        arrays = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.input_names:
            arrays["token_type_ids"] = pad_rows([types for _, types in rows])[0]
        return arrays


def plan_windows(num_tokens: int, *, size: int) -> Iterator[Window]:
    """Yield windows of at most `size` tokens, evenly spread, that together ask about every token once.

    Neighbours overlap, and each token is asked about in the window where it stands further from the edge.

    Example:
        >>> [(window.begin, window.end) for window in plan_windows(10, size=8)]
        [(0, 8), (2, 10)]
        >>> [(window.own_begin, window.own_end) for window in plan_windows(10, size=8)]
        [(0, 5), (5, 10)]
    """
    if not num_tokens:
        return
    step = max(1, size - int(size * _OVERLAP_SHARE))
    num_windows = 1 + max(0, -(-(num_tokens - size) // step))
    begins = np.linspace(0, max(0, num_tokens - size), num_windows).astype(int).tolist()
    own_begin = 0
    for index, begin in enumerate(begins):
        end = min(begin + size, num_tokens)
        is_last = index + 1 == num_windows
        own_end = num_tokens if is_last else (begins[index + 1] + end + 1) // 2
        yield Window(begin, end, own_begin, own_end)
        own_begin = own_end


def reads_no_case(source: Any) -> bool:
    """Return whether a transformers tokenizer makes the same tokens of small letters and capitals."""
    return bool(source("Berlin NATO").input_ids == source("berlin nato").input_ids)


def _part_signs(tokenizer: "Tokenizer") -> None:
    """Let an emoji end a word: BERT's own rule makes both one unknown word, and the name in it is lost."""
    from tokenizers import Regex, pre_tokenizers

    rule = tokenizer.pre_tokenizer
    if isinstance(rule, pre_tokenizers.BertPreTokenizer):
        signs = pre_tokenizers.Split(Regex(r"\p{S}"), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([signs, rule])


def _tagger_text(text: str, encoding: Any) -> TaggerText:
    offsets = [_without_space(text, start, end) for start, end in encoding.offsets]
    return TaggerText(
        text=text,
        ids=np.asarray(encoding.ids, dtype=np.int64),
        shapes=np.asarray([_shape(text[start:end]) for start, end in offsets], dtype=np.int64),
        words=_join_words(token_spans(text), offsets),
    )


def _join_words(words: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> IntArray:
    """Return the words with the first token of each: (words, 3).

    Words that share a token become one: some tokenizers make one token of several Chinese characters. A word of which
    the tokenizer makes nothing is left out.
    """
    joined: list[list[int]] = []
    index = 0
    for token, (start, end) in enumerate(offsets):
        while index < len(words) and words[index][1] <= start:
            index += 1
        if start == end or index == len(words) or words[index][0] >= end:
            continue
        last = index
        while last + 1 < len(words) and words[last + 1][0] < end:
            last += 1
        if joined and start < joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], words[last][1])
        else:
            joined.append([words[index][0], words[last][1], token])
    return np.asarray(joined, dtype=np.int64).reshape(-1, 3)


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where a token's characters stand; some tokenizers count the space before a word to it."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), max(start, end - len(part) + len(part.rstrip()))


def _shape(characters: str) -> int:
    if characters == characters.lower():
        return 0
    if characters[0].isupper() and characters[1:] == characters[1:].lower():
        return 1
    return 2 if characters == characters.upper() else 3
