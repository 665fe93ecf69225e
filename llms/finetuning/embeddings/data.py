"""Training rows for embeddings: pairs or labels, the loss that fits them, and the held-out part."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from llms.arrays import FloatArray
from llms.errors import OptionValueError, TrainingDataError
from llms.finetuning.data.examples import LabelledTexts
from llms.finetuning.data.hard_negatives import nearest_negatives
from llms.finetuning.data.labelled_files import check_training_rows
from llms.finetuning.data.pair_relations import KnownPositives, merge_pairs, same_text, split_pairs
from llms.finetuning.data.pairs import TextPair, TextPairs, pairs_from_labels
from llms.finetuning.data.splits import split_rows
from llms.finetuning.embeddings.evaluation import Evaluator, ScoreEvaluator, evaluator_of_labels, evaluator_of_pairs

if TYPE_CHECKING:
    from llms.encoder.text_encoder import Role, TextEncoder
    from llms.finetuning.embeddings.options import EmbeddingsOptions


LossName = Literal["ranking", "labels", "cosent", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveExample:
    """A query with its document and the document's rivals; or for the loss "labels", two texts of one label."""

    query: str
    document: str
    hard_negatives: tuple[str, ...] = ()
    score: float = 1.0
    label: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveRows:
    """What is learnt from, by which loss, and which documents are no negatives of which query."""

    examples: list[ContrastiveExample]
    loss: LossName
    known: KnownPositives


def prepare_rows(train: TextPairs | LabelledTexts, options: "EmbeddingsOptions") -> tuple[ContrastiveRows, Evaluator]:
    """Return what is learnt from, and the evaluator of what was held out.

    Raises:
        TrainingDataError: if rows contradict each other or there are too few.
        OptionValueError: if the loss or hard negatives do not go with such rows.
    """
    if isinstance(train, LabelledTexts):
        return _prepare_labels(train, options)
    pairs = merge_pairs(train.rows)
    known = KnownPositives.from_pairs(pairs)
    kept, held_out = split_pairs(pairs, held_out_share=options.held_out_share, seed=options.seed)
    is_graded = any(pair.score is not None and 0 < pair.score < 1 for pair in pairs)
    loss = ("cosent" if is_graded else "ranking") if options.loss == "auto" else options.loss
    if loss == "ranking":
        rows = ContrastiveRows(examples=_with_rivals(kept), loss=loss, known=known)
        return rows, evaluator_of_pairs(held_out, kept, known, seed=options.seed)
    _refuse_hard_negatives(options, f"rows for the loss {loss!r}")
    examples = [
        ContrastiveExample(query=pair.query, document=pair.document, score=1.0 if pair.score is None else pair.score)
        for pair in kept
    ]
    return ContrastiveRows(examples=examples, loss=loss, known=known), ScoreEvaluator(held_out)


def _with_rivals(pairs: Sequence[TextPair]) -> list[ContrastiveExample]:
    """Return an example for each pair that belongs together; documents of the others are its query's negatives."""
    wrong: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        if not pair.is_positive:
            query = same_text(pair.query)
            wrong[query] = (*wrong.get(query, ()), pair.document)
    return [
        ContrastiveExample(
            query=pair.query,
            document=pair.document,
            hard_negatives=(*pair.hard_negatives, *wrong.get(same_text(pair.query), ())),
        )
        for pair in pairs
        if pair.is_positive
    ]


def _prepare_labels(train: LabelledTexts, options: "EmbeddingsOptions") -> tuple[ContrastiveRows, Evaluator]:
    _refuse_hard_negatives(options, "labelled texts")
    if options.loss != "auto":
        msg = f"labelled texts have a loss of their own, got loss={options.loss!r}; give pairs_from_labels(...) instead"
        raise OptionValueError(msg)
    check_training_rows(train.rows)
    kept, held_out = split_rows(train.rows, held_out_share=options.held_out_share, seed=options.seed)
    labels = {label: index for index, label in enumerate(sorted({row.label for row in kept}))}
    # a text and a partner of its label in one example: so every batch holds something to pull together
    examples = [
        ContrastiveExample(query=pair.query, document=pair.document, label=labels[str(pair.group)])
        for pair in pairs_from_labels(kept, seed=options.seed).rows
    ]
    if not held_out or not examples:
        msg = "too few different texts to hold some out and learn from the others; add examples"
        raise TrainingDataError(msg)
    both = ([(row.text, row.label) for row in rows] for rows in (held_out, kept))
    rows = ContrastiveRows(examples=examples, loss="labels", known=KnownPositives.from_pairs([]))
    return rows, evaluator_of_labels(*both, seed=options.seed)


def _refuse_hard_negatives(options: "EmbeddingsOptions", what: str) -> None:
    if options.hard_negatives:
        msg = f"hard_negatives are mined for loss='ranking' only, these are {what}; leave hard_negatives at 0"
        raise OptionValueError(msg)


def with_hard_negatives(rows: ContrastiveRows, encoder: "TextEncoder", options: "EmbeddingsOptions") -> ContrastiveRows:
    """Return `rows` with the nearest documents that are no answers added to each example, found by `encoder`."""

    def embed(texts: list[str], role: str) -> "FloatArray":
        return encoder.encode(texts, role=cast("Role", role), show_progress=options.show_progress)

    mined = nearest_negatives(
        [TextPair(example.query, example.document) for example in rows.examples],
        rows.known,
        embed=embed,
        count=options.hard_negatives,
        max_similarity=options.max_negative_similarity,
    )
    examples = [
        replace(example, hard_negatives=tuple(dict.fromkeys((*example.hard_negatives, *negatives))))
        for example, negatives in zip(rows.examples, mined, strict=True)
    ]
    return replace(rows, examples=examples)
