"""Active learning: the texts whose labels would teach most."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from llms.arrays import FloatArray
from llms.classifier.head import ClassifierHead
from llms.classifier.lexical import LexicalModel
from llms.classifier.out_of_scope import leave_one_out_similarity
from llms.encoder.cosine_floor import vector_spread
from llms.encoder.text_encoder import PreparedText, Role, TextEncoder
from llms.errors import OptionValueError
from llms.finetuning.classifier.data import LabelledRows, to_rows
from llms.finetuning.classifier.evaluation import AccuracyTarget, fit_calibration
from llms.finetuning.classifier.head import fit_linear_layer
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.data.splits import split_rows
from llms.finetuning.labelling.diversity import (
    ChosenRows,
    cluster_vectors,
    find_central_rows,
    find_farthest_rows,
    find_typical_rows,
)
from llms.texts.checks import check_text
from llms.texts.folding import text_key

_MIN_EXPLORING_SHARE, _MAX_EXPLORING_SHARE = 0.05, 0.5
_UNCERTAIN_PER_CHOSEN = 10  # from so many of the least certain rows a batch is spread out
_NUM_LIKELIEST = 5
_DOUBTFUL_MARGIN = 0.5  # probability between the two likeliest labels above which there is not much doubt
_PRIOR_SCALES = (1.0, 1.0, 5.0)
_HELD_OUT_SHARE = 0.2
_ENOUGH_HELD_OUT = 20  # with fewer, the scales that usually come out are the better guess
_BLOCK_ROWS = 2_048  # bounds the memory of the products with all examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A text that should be labelled.

    Attributes:
        place: of the text among the unlabelled ones, from 0.
        reason: why this one, in words.
        predicted: the likeliest label; None while there are fewer than two labels.
        probability: of that label.
        likeliest: at most five labels, likeliest first.
    """

    text: str
    place: int
    reason: str
    predicted: str | None = None
    probability: float | None = None
    likeliest: tuple[str, ...] = ()


def suggest_rows(
    labelled: Sequence[LabelledText],
    unlabelled: Sequence[str],
    *,
    num_rows: int,
    encoder: TextEncoder,
    seed: int = 0,
    labels: Sequence[str] = (),
) -> list[Suggestion]:
    """Return the texts whose labels would teach most, the ones that may show something new first.

    Without labels these are texts that stand for many others. Afterwards a batch is mixed: for each label without an
    example the text nearest to its name; texts of regions where nothing is labelled, as many as there are likely to
    be labels nobody has met; and the texts that the labels so far leave most in doubt, spread out, so that they are
    not all the same doubt.

    Args:
        labelled: any number, of any number of labels.
        unlabelled: texts to choose from; those equal or nearly equal to a labelled one are never chosen.
        num_rows: how many are wanted; fewer come where all others would say the same again.
        encoder: makes the vectors; a `RememberingEncoder` makes those of a text once over many calls.
        seed: the same rows and seed give the same texts.
        labels: that shall be given, with or without an example.

    Raises:
        OptionValueError: if `num_rows` is less than 1.
        InputTextError: if a text is none that a tokenizer takes.

    References:
        Hacohen, Dekel and Weinshall, ICML 2022, for the first texts; Zhdanov, "Diverse mini-batch active learning",
        2019, for the doubtful ones; Good, "The population frequencies of species", Biometrika 1953, for the share of
        labels not met yet.
    """
    if num_rows < 1:
        msg = f"num_rows must be at least 1, got {num_rows}"
        raise OptionValueError(msg)
    known = encoder.encode([check_text(row.text) for row in labelled])
    indices = _new_indices(labelled, unlabelled)
    if not indices:
        return []
    texts = [unlabelled[index] for index in indices]
    vectors = encoder.encode(texts)
    chosen = ChosenRows([row.text for row in labelled], known, spread=vector_spread(vectors))
    batch = _Batch(texts, vectors, num_rows, chosen)
    missing = sorted(set(labels) - {row.label for row in labelled})
    head = fit_draft_head(labelled, encoder=encoder, options=ClassifierOptions(seed=seed), labels=missing)
    batch.take(_nearest_to_names(missing, vectors, encoder), limit=(num_rows + 1) // 2)
    num_exploring = num_rows if head is None else max(len(batch), round(num_rows * _exploring_share(labelled)))
    batch.take(_unlike_labelled(vectors, known, num_exploring, seed=seed), limit=num_exploring)
    probabilities = None if head is None else predict_in_blocks(head, texts, vectors)
    if head is not None and probabilities is not None:
        batch.take(_doubtful(probabilities, batch, head.labels, seed=seed), limit=num_rows)
    return [
        _suggestion(text, indices[index], reason, head, None if probabilities is None else probabilities[index])
        for index, (text, reason) in batch.reasons.items()
    ]


@dataclass(slots=True)
class _Batch:
    """The texts chosen so far, in order, each with its reason; no two of them say the same."""

    texts: Sequence[str]
    vectors: FloatArray
    num_rows: int
    chosen: ChosenRows
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reasons)

    def take(self, candidates: Iterable[tuple[int, str]], *, limit: int) -> None:
        """Take candidates (index, reason) in their order until there are `limit` texts."""
        if len(self.reasons) >= limit:  # before the first candidate, which may take seconds to find
            return
        for index, reason in candidates:
            if self.chosen.take(self.texts[index], self.vectors[index]):
                self.reasons[index] = (self.texts[index], reason)
                if len(self.reasons) >= limit:
                    return


def _new_indices(labelled: Sequence[LabelledText], unlabelled: Sequence[str]) -> list[int]:
    """Return the indices of the texts that are neither labelled nor equal to an earlier one."""
    seen = {text_key(row.text) for row in labelled}
    indices = []
    for index, text in enumerate(unlabelled):
        key = text_key(check_text(text))
        if key not in seen:
            seen.add(key)
            indices.append(index)
    return indices


def _exploring_share(labelled: Sequence[LabelledText]) -> float:
    """Return how probable it is that the next text has a label nobody has met: the share of labels met once."""
    counts = Counter(row.label for row in labelled)
    share = sum(count == 1 for count in counts.values()) / len(labelled)
    return min(max(share, _MIN_EXPLORING_SHARE), _MAX_EXPLORING_SHARE)


def _nearest_to_names(labels: Sequence[str], vectors: FloatArray, encoder: TextEncoder) -> Iterator[tuple[int, str]]:
    """Yield for each label the text that is most like its name."""
    if not labels:
        return
    names = encoder.encode([label.replace("_", " ").replace("-", " ") for label in labels])
    for label, name in zip(labels, names, strict=True):
        yield int((vectors @ name).argmax()), f"may be the first {label!r}"


def _unlike_labelled(vectors: FloatArray, known: FloatArray, num_rows: int, *, seed: int) -> Iterator[tuple[int, str]]:
    """Yield texts of regions without a label: those that stand for many others, then the ones farthest away."""
    what = "unlike anything labelled so far" if len(known) else ""
    for row in find_typical_rows(vectors, known, num_rows, seed=seed):
        others = f"stands for {row.num_similar} similar texts" if row.num_similar > 1 else ""
        yield row.place, ", ".join(filter(None, [what, others])) or "unlike the other texts"
    for index in find_farthest_rows(vectors, known):
        yield index, what or "unlike the other texts"


def _doubtful(
    probabilities: FloatArray, batch: _Batch, labels: Sequence[str], *, seed: int
) -> Iterator[tuple[int, str]]:
    """Yield texts between two labels: one from each part of the least certain ones, then the rest of them."""
    ranked = np.sort(probabilities, axis=1)
    margins = ranked[:, -1] - ranked[:, -2]
    margins[list(batch.reasons)] = np.inf  # chosen already
    order = np.argsort(margins, kind="stable")
    num_wanted = batch.num_rows - len(batch)
    few = order[: min(_UNCERTAIN_PER_CHOSEN * num_wanted, len(order) - len(batch))]
    if num_wanted and len(few):
        clusters = cluster_vectors(batch.vectors[few], num_wanted, seed=seed, weights=1.0 - margins[few])
        central = few[find_central_rows(batch.vectors[few], clusters)]
        order = np.concatenate([central[np.argsort(margins[central], kind="stable")], order])
    for index in order:
        first, second = np.argsort(-probabilities[index], kind="stable")[:2]
        in_doubt = f"between {labels[first]!r} and {labels[second]!r}"
        yield (
            int(index),
            in_doubt if margins[index] < _DOUBTFUL_MARGIN else f"probably {labels[first]!r}, hardly in doubt",
        )


def _suggestion(
    text: str, index: int, reason: str, head: ClassifierHead | None, probabilities: FloatArray | None
) -> Suggestion:
    if head is None or probabilities is None:
        return Suggestion(text=text, place=index, reason=reason)
    order = np.argsort(-probabilities, kind="stable")[:_NUM_LIKELIEST]
    return Suggestion(
        text=text,
        place=index,
        reason=reason,
        predicted=head.labels[int(order[0])],
        probability=round(float(probabilities[order[0]]), 4),
        likeliest=tuple(head.labels[int(label)] for label in order),
    )


class RememberingEncoder(TextEncoder):
    """Another encoder whose vectors are made once: a text that comes again costs nothing.

    Args:
        encoder: makes the vectors that are missing.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.name = encoder.name
        self._known: dict[tuple[Role, str], FloatArray] = {}

    @property
    @override
    def dimension(self) -> int:
        return self.encoder.dimension

    def remember(self, texts: Sequence[str], vectors: FloatArray, *, role: Role = "plain") -> None:
        """Take vectors that the encoder made of the texts before."""
        for text, vector in zip(texts, vectors, strict=True):
            self._known[role, text] = vector

    @override
    def encode(
        self, texts: Sequence[str], *, role: Role = "plain", batch_size: int = 64, show_progress: bool = False
    ) -> FloatArray:
        missing = list(dict.fromkeys(text for text in texts if (role, text) not in self._known))
        if missing:
            made = self.encoder.encode(missing, role=role, batch_size=batch_size, show_progress=show_progress)
            self.remember(missing, made, role=role)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._known[role, text] for text in texts])

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        return self.encoder.prepare(texts, role)

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        return np.stack([self.encode([prepared.text], role=prepared.role)[0] for prepared in batch])


def fit_draft_head(
    rows: Sequence[LabelledText], *, encoder: TextEncoder, options: ClassifierOptions, labels: Sequence[str] = ()
) -> ClassifierHead | None:
    """Return linear layer, n-grams and nearest examples on the frozen encoder; None for fewer than two labels.

    It is what `finetune_classifier` makes with the method "head", less thresholds, scope and checks: good enough to
    say which rows are hard. Its scales are fitted on a fifth of the rows.

    Args:
        rows: any number of each label, even one.
        labels: further ones that have no row yet; they are known by their names, where names are learnt.
    """
    found = {row.label for row in rows}
    learns_names = bool(rows) and options.learns_names(rows)
    known = tuple(sorted(found.union(labels) if learns_names else found))
    if len(known) < 2:
        return None
    head = _fit(to_rows(rows, known, named=known if learns_names else ()), encoder, known, seed=options.seed)
    kept, held_out = split_rows(rows, held_out_share=_HELD_OUT_SHARE, seed=options.seed)
    # every label must be learnt in the same place, and with names each has a row
    is_fair = learns_names or {row.label for row in kept} == found
    if len(held_out) >= _ENOUGH_HELD_OUT and is_fair:
        judge = _fit(to_rows(kept, known, named=known if learns_names else ()), encoder, known, seed=options.seed)
        asked = to_rows(held_out, known)
        parts = judge.score_parts(asked.texts, encoder.encode(asked.texts))
        head.scales = fit_calibration(parts, asked.targets, AccuracyTarget(), known).scales
    return head


def predict_in_blocks(head: ClassifierHead, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
    """Return the probabilities of many texts, (texts, labels), in memory that does not grow with the examples."""
    probabilities = np.zeros((len(texts), len(head.labels)), dtype=np.float32)
    for start in range(0, len(texts), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        probabilities[block], _ = head.predict_from_vectors(texts[block], vectors[block])
    return probabilities


def _fit(rows: LabelledRows, encoder: TextEncoder, labels: tuple[str, ...], *, seed: int) -> ClassifierHead:
    vectors = encoder.encode(rows.texts)
    order = np.argsort(rows.targets, kind="stable")  # a head's examples lie in the order of their labels
    with warnings.catch_warnings():
        # with a row or two per label scikit-learn wonders whether numbers were meant
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        weight, bias = fit_linear_layer(vectors, rows.targets, len(labels))
        lexical = LexicalModel.fit(rows.texts, rows.targets, seed=seed)
    return ClassifierHead(
        encoder=encoder,
        weight=weight,
        bias=bias,
        lexical=lexical,
        examples=vectors[order],
        example_labels=rows.targets[order].astype(np.int64),
        closeness=leave_one_out_similarity(vectors[order]),
        labels=labels,
        scales=_PRIOR_SCALES,
        is_multi_label=False,
    )
