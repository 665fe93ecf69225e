"""Interface of taggers on any back end, and the best spans of their outputs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from llms.arrays import FloatArray, IntArray
from llms.call_gathering import CallGatherer
from llms.encoder.token_batches import plan_batches
from llms.tagger.results import Span
from llms.tagger.scheme import TagScheme
from llms.tagger.tokenizer import TaggerText, TaggerTokenizer, Window


@dataclass(frozen=True, slots=True)
class WordLogits:
    """A text and the network's outputs for each of its words."""

    text: TaggerText
    logits: FloatArray  # (words, tags)


@dataclass(frozen=True, slots=True)
class _Row:
    """A window of one of the texts, ready for the network."""

    text: int
    window: Window
    ids: IntArray
    types: IntArray


class TokenTagger(ABC):
    """Texts in, outputs for each word out, through one model on one device.

    A text that is longer than the model reads at once is read in overlapping windows. Calls from several threads are
    gathered: whoever gets the model next takes along what all the others wait for.
    """

    max_tokens = 4096  # in a forward pass, padding included

    def __init__(self, tokenizer: TaggerTokenizer, scheme: TagScheme) -> None:
        self.tokenizer = tokenizer
        self.scheme = scheme
        self._gatherer: CallGatherer[_Row, FloatArray] = CallGatherer(self._answer)

    @abstractmethod
    def _forward(self, rows: Sequence[tuple[IntArray, IntArray]]) -> FloatArray:
        """Return the outputs of some windows, (windows, tokens, tags); one thread at a time calls this."""

    def word_logits(self, texts: Sequence[str], *, batch_size: int = 64) -> list[WordLogits]:
        """Return the outputs for each word of each text, in the order of the texts.

        Args:
            batch_size: windows per forward pass at most; long ones make smaller batches.
        """
        prepared = self.tokenizer.prepare(texts)
        tokens = [np.zeros((len(text.ids), len(self.scheme.tags)), dtype=np.float32) for text in prepared]
        rows = [
            _Row(index, window, *self.tokenizer.row(text, window))
            for index, text in enumerate(prepared)
            for window in self.tokenizer.windows(text)
        ]
        lengths = [len(row.ids) for row in rows]
        for indices in plan_batches(lengths, max_texts=batch_size, max_tokens=self.max_tokens):
            batch = [rows[index] for index in indices]
            for row, logits in zip(batch, self._gatherer.call(batch), strict=True):
                own = slice(row.window.own_begin, row.window.own_end)
                offset = len(self.tokenizer.before) - row.window.begin
                tokens[row.text][own] = logits[own.start + offset : own.stop + offset]
        return [WordLogits(text, logits[text.words[:, 2]]) for text, logits in zip(prepared, tokens, strict=True)]

    def _answer(self, rows: Sequence[_Row]) -> list[FloatArray]:
        answers: dict[int, FloatArray] = {}
        lengths = [len(row.ids) for row in rows]
        for indices in plan_batches(lengths, max_texts=len(rows), max_tokens=self.max_tokens):
            logits = self._forward([(rows[index].ids, rows[index].types) for index in indices])
            answers |= dict(zip(indices, logits, strict=True))
        return [answers[index] for index in range(len(rows))]


def find_spans(scheme: TagScheme, words: WordLogits, *, temperature: float = 1.0) -> tuple[Span, ...]:
    """Return the spans of the best legal tags, with the probability of each.

    Args:
        temperature: what the outputs are divided by before they become probabilities; it changes no tag.
    """
    path = scheme.best_path(words.logits)
    if not any(scheme.tags[tag] != "O" for tag in path):
        return ()
    logs = log_softmax(words.logits / temperature, axis=-1)[np.arange(len(path)), path]  # (words,)
    spans = []
    for first, end_word, label in scheme.spans(path):
        start, end = int(words.text.words[first, 0]), int(words.text.words[end_word - 1, 1])
        probability = float(np.exp(logs[first:end_word].mean()))
        text = words.text.text[start:end]
        spans.append(Span(start=start, end=end, label=label, text=text, probability=min(1.0, probability)))
    return tuple(spans)
