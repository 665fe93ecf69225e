"""Which texts to label next, so that few labels teach much."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from llms.classifier_head import ClassifierHead
from llms.errors import OptionValueError
from llms.finetuning.classifier import ClassifierOptions
from llms.finetuning.diverse_rows import (
    ChosenRows,
    cluster_vectors,
    find_central_rows,
    find_farthest_rows,
    find_typical_rows,
)
from llms.finetuning.draft_heads import fit_draft_head, predict_in_blocks
from llms.finetuning.duplicates import text_key
from llms.finetuning.rows import LabelledText
from llms.text_encoder import TextEncoder
from llms.texts import check_text

__all__ = ["Suggestion", "suggest_rows"]

FloatArray = npt.NDArray[np.float32]
_MIN_EXPLORING_SHARE, _MAX_EXPLORING_SHARE = 0.05, 0.5
_UNCERTAIN_PER_CHOSEN = 10  # from so many of the least certain rows a batch is spread out
_NUM_LIKELIEST = 5
_DOUBTFUL_MARGIN = 0.5  # probability between the two likeliest labels above which there is not much doubt


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
    places = _new_places(labelled, unlabelled)
    if not places:
        return []
    texts = [unlabelled[place] for place in places]
    vectors = encoder.encode(texts)
    batch = _Batch(texts, vectors, num_rows, ChosenRows([row.text for row in labelled], known))
    missing = sorted(set(labels) - {row.label for row in labelled})
    head = fit_draft_head(labelled, encoder=encoder, options=ClassifierOptions(seed=seed), labels=missing)
    batch.take(_nearest_to_names(missing, vectors, encoder), limit=(num_rows + 1) // 2)
    num_exploring = num_rows if head is None else max(len(batch), round(num_rows * _exploring_share(labelled)))
    batch.take(_unlike_labelled(vectors, known, num_exploring, seed=seed), limit=num_exploring)
    probabilities = None if head is None else predict_in_blocks(head, texts, vectors)
    if head is not None and probabilities is not None:
        batch.take(_doubtful(probabilities, batch, head.labels, seed=seed), limit=num_rows)
    return [
        _suggestion(text, places[place], reason, head, None if probabilities is None else probabilities[place])
        for place, (text, reason) in batch.reasons.items()
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
        """Take candidates (place, reason) in their order until there are `limit` texts."""
        if len(self.reasons) >= limit:  # before the first candidate, which may take seconds to find
            return
        for place, reason in candidates:
            if self.chosen.take(self.texts[place], self.vectors[place]):
                self.reasons[place] = (self.texts[place], reason)
                if len(self.reasons) >= limit:
                    return


def _new_places(labelled: Sequence[LabelledText], unlabelled: Sequence[str]) -> list[int]:
    """Return the places of the texts that are neither labelled nor equal to an earlier one."""
    seen = {text_key(row.text) for row in labelled}
    places = []
    for place, text in enumerate(unlabelled):
        key = text_key(check_text(text))
        if key not in seen:
            seen.add(key)
            places.append(place)
    return places


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
    for place in find_farthest_rows(vectors, known):
        yield place, what or "unlike the other texts"


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
    for place in order:
        first, second = np.argsort(-probabilities[place], kind="stable")[:2]
        in_doubt = f"between {labels[first]!r} and {labels[second]!r}"
        yield (
            int(place),
            in_doubt if margins[place] < _DOUBTFUL_MARGIN else f"probably {labels[first]!r}, hardly in doubt",
        )


def _suggestion(
    text: str, place: int, reason: str, head: ClassifierHead | None, probabilities: FloatArray | None
) -> Suggestion:
    if head is None or probabilities is None:
        return Suggestion(text=text, place=place, reason=reason)
    order = np.argsort(-probabilities, kind="stable")[:_NUM_LIKELIEST]
    return Suggestion(
        text=text,
        place=place,
        reason=reason,
        predicted=head.labels[int(order[0])],
        probability=round(float(probabilities[order[0]]), 4),
        likeliest=tuple(head.labels[int(label)] for label in order),
    )
