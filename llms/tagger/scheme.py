"""Tag schemes (BIO, IOB1, IO): tags to spans and back, and the best legal tags for a model's outputs."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray, IntArray
from llms.errors import ModelFolderError, OptionValueError

_ILLEGAL = -1e9
_OTHER_SCHEMES = re.compile(r"^[SELUM]-")
_GO_ON = ("I", "M", "E", "L")


TagSpan = tuple[int, int, str]
"""Start, end (exclusive) and label; in characters, words or tokens, but all in one of them."""


def bio_spans(tags: Sequence[str]) -> list[TagSpan]:
    """Return the spans that BIO or IOB1 tags describe, in tokens, with `end` exclusive.

    As lenient as CoNLL's script: an `I-` after `O` or after another label begins a span, too.

    Args:
        tags: one per token: `O`, `B-<label>` or `I-<label>`; a bare `B` or `I` has the label `_`.

    Raises:
        OptionValueError: for any other tag.

    Example:
        >>> bio_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]

    References:
        Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 shared task", CoNLL 2003, and its `conlleval`.
    """
    spans: list[TagSpan] = []
    start, label = None, ""
    for index, tag in enumerate([*tags, "O"]):  # the last one closes what is still open
        kind, found = _read_tag(tag)
        goes_on = start is not None and kind == "I" and found == label
        if start is not None and not goes_on:
            spans.append((start, index, label))
            start = None
        if kind != "O" and not goes_on:
            start, label = index, found
    return spans


def to_bio(tags: Sequence[str]) -> list[str]:
    """Return tags of the schemes BIOES, BMES and BILOU, which also mark ends and single words, in BIO.

    Tags of BIO, IOB1 and unknown schemes come back as they are.

    Example:
        >>> to_bio(["B-PER", "E-PER", "S-PER", "O", "B-LOC", "M-LOC", "E-LOC"])
        ['B-PER', 'I-PER', 'B-PER', 'O', 'B-LOC', 'I-LOC', 'I-LOC']

    References:
        Ratinov and Roth, "Design challenges and misconceptions in named entity recognition", CoNLL 2009, for BILOU.
    """
    if not any(_OTHER_SCHEMES.match(tag) for tag in tags):
        return list(tags)
    plain: list[str] = []
    was_closed = False  # what goes on behind an end begins anew
    for tag in tags:
        kind, dash, label = tag.partition("-")
        is_begin = kind in ("B", "S", "U") or (was_closed and kind in _GO_ON)
        if is_begin and dash:
            plain.append(f"B-{label}")
        else:
            plain.append(f"I-{label}" if kind in _GO_ON and dash else tag)
        was_closed = kind in ("E", "L", "S", "U")
    return plain


def _read_tag(tag: str) -> tuple[str, str]:
    kind, _, label = tag.partition("-")
    if kind in ("B", "I"):
        return kind, label or "_"
    if tag != "O":
        msg = f"expected a tag O, B-<label> or I-<label>, got {tag!r}; write tags of BIO, BIOES, BMES or BILOU"
        raise OptionValueError(msg)
    return "O", ""


@dataclass(frozen=True)
class TagScheme:
    """The tags a model gives to words, in the order of its outputs.

    Attributes:
        tags: "O" for no label, "B-<label>" where a span begins, "I-<label>" where it goes on.
        is_strict: whether spans always begin with B, as in BIO. If not, an I after O or after another label begins
            one too, as in IOB1 and IO.

    Example:
        >>> scheme = TagScheme.of_labels(["place", "name"])
        >>> scheme.tags
        ('O', 'B-name', 'I-name', 'B-place', 'I-place')
        >>> scheme.spans([1, 2, 0, 1, 3])
        [(0, 2, 'name'), (3, 4, 'name'), (4, 5, 'place')]
    """

    tags: tuple[str, ...]
    is_strict: bool = True

    @classmethod
    def of_labels(cls, labels: Sequence[str]) -> "TagScheme":
        """Return the BIO tags for these labels."""
        return cls(("O", *(f"{kind}-{label}" for label in sorted(labels) for kind in "BI")))

    @classmethod
    def of_foreign(cls, names: Sequence[str]) -> "TagScheme":
        """Return the tags of a model whose outputs have these names; which scheme it learnt, they do not say.

        Names without B- and I- are taken as labels of words, of which neighbours with the same one make a span.

        Raises:
            ModelFolderError: if there is no "O", or the names are of another scheme.

        Example:
            >>> TagScheme.of_foreign(["O", "name", "place"]).tags
            ('O', 'I-name', 'I-place')
        """
        if "O" not in names or len(names) < 2:
            msg = (
                f'the outputs must be named "O", "B-<label>", "I-<label>", they are {list(names)[:6]}; is it a tagger?'
            )
            raise ModelFolderError(msg)
        has_kinds = any(name.startswith(("B-", "I-")) for name in names)
        other = [name for name in names if has_kinds and name != "O" and not name.startswith(("B-", "I-"))]
        if other or any(_OTHER_SCHEMES.match(name) for name in names):
            first = (other or [name for name in names if _OTHER_SCHEMES.match(name)])[0]
            msg = f"the output {first!r} is of another scheme than BIO, IOB1 or IO; take a model with one of these"
            raise ModelFolderError(msg)
        return cls(tuple(name if has_kinds or name == "O" else f"I-{name}" for name in names), is_strict=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, in alphabetical order."""
        return tuple(sorted({tag[2:] for tag in self.tags if tag != "O"}))

    def spans(self, tag_ids: Sequence[int]) -> list[TagSpan]:
        """Return first word, end word (exclusive) and label of each span."""
        return bio_spans([self.tags[tag_id] for tag_id in tag_ids])

    def tag_ids(self, spans: Sequence[TagSpan], num_words: int) -> IntArray:
        """Return the tag of each word, given spans in words as `spans` yields them; the opposite of it.

        Example:
            >>> TagScheme.of_labels(["name"]).tag_ids([(1, 3, "name")], num_words=4).tolist()
            [0, 1, 2, 0]
        """
        ids = {tag: tag_id for tag_id, tag in enumerate(self.tags)}
        tag_ids = np.full(num_words, ids["O"], dtype=np.int64)
        for start, end, label in spans:
            tag_ids[start:end] = ids[f"I-{label}"]
            tag_ids[start : start + 1] = ids[f"B-{label}"]
        return tag_ids

    def best_path(self, logits: FloatArray) -> list[int]:
        """Return the legal tags with the highest sum of outputs.

        Args:
            logits: (words, tags).
        """
        if not len(logits):
            return []
        best = logits.argmax(axis=1)
        start, follow = self._transitions
        if start[best[0]] == 0 and not follow[best[:-1], best[1:]].any():
            return [int(tag) for tag in best]
        return self._search(logits)

    def _search(self, logits: FloatArray) -> list[int]:
        """Return the best path by dynamic programming.

        References:
            Viterbi, "Error bounds for convolutional codes", IEEE Transactions on Information Theory 1967.
        """
        start, follow = self._transitions
        scores = logits[0].astype(np.float64) + start  # (tags,)
        came_from = np.zeros(logits.shape, dtype=np.int64)
        for index in range(1, len(logits)):
            paths = scores[:, None] + follow  # (tag before, tag)
            came_from[index] = paths.argmax(axis=0)
            scores = paths.max(axis=0) + logits[index]
        path = [int(scores.argmax())]
        for index in range(len(logits) - 1, 0, -1):
            path.append(int(came_from[index][path[-1]]))
        return path[::-1]

    @functools.cached_property
    def _transitions(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What it costs to begin with one (tags,), and to follow another (before, after)."""
        num_tags = len(self.tags)
        start, follow = np.zeros(num_tags), np.zeros((num_tags, num_tags))
        for after, tag in enumerate(self.tags):
            if not self.is_strict or tag[0] != "I":
                continue
            start[after] = _ILLEGAL
            for before, other in enumerate(self.tags):
                if other == "O" or other[2:] != tag[2:]:
                    follow[before, after] = _ILLEGAL
        return start, follow
