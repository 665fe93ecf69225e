"""Fitting of a classifier's head on rows: linear layer, n-grams and examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray
from llms.classifier.head import ClassifierHead, ScoreParts
from llms.classifier.lexical import LexicalModel
from llms.classifier.out_of_scope import leave_one_out_similarity
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.classifier.data import LabelledRows
from llms.finetuning.data.examples import ClassifierRow, labels_of

if TYPE_CHECKING:
    from llms.finetuning.classifier.data import TrainedEncoder
    from llms.finetuning.classifier.options import ClassifierOptions

_NUM_FOLDS = 5
_EXAMPLES_PER_LABEL = 50  # so that the folder stays small
# five to eighty do as well, also for vectors that lie close together: the scale of the logits is fitted afterwards
_INVERSE_PENALTY = 20.0
_NEVER = -8.0  # the bias of a label without an example: a fold may lack one


def refuse_unlearnable_split(kept: Sequence[ClassifierRow], held_out: Sequence[ClassifierRow]) -> None:
    """Refuse a split with nothing held out, or with a label that nothing is left to learn from.

    Raises:
        TrainingDataError: naming the label.
    """
    if not held_out:
        msg = "no rows are left to stop and calibrate by; add examples"
        raise TrainingDataError(msg)
    known = {label for row in kept for label in labels_of(row)}
    if lost := sorted({label for row in held_out for label in labels_of(row)} - known):
        msg = (
            f"the label {lost[0]!r} stands in the held-out rows only, as happens with a label that is new or belongs "
            "to one group; hold out fewer rows, or split by label"
        )
        raise TrainingDataError(msg)


def build_head(
    trained: "TrainedEncoder",
    rows: LabelledRows,
    labels: tuple[str, ...],
    options: "ClassifierOptions",
    *,
    refit: bool = True,
) -> ClassifierHead:
    """Return the head over a trained encoder that knows these rows.

    Args:
        refit: fit the linear layer on these rows where the encoder was not trained; a layer that was trained with
            its encoder stays as it is.
    """
    vectors = trained.vectors(rows.texts)
    weight, bias = trained.weight, trained.bias
    if refit and options.method == "head":
        weight, bias = fit_linear_layer(vectors, rows.targets, len(labels))
    indices = _spread(rows.targets, seed=options.seed)
    examples = vectors[indices]
    example_labels = np.full(len(indices), -1) if rows.is_multi_label else rows.targets[indices]
    has_outside = options.outside_label is not None
    is_inside = example_labels < len(labels) - has_outside
    closeness = np.zeros(len(indices), dtype=np.float32)
    closeness[is_inside] = leave_one_out_similarity(examples[is_inside])
    return ClassifierHead(
        encoder=trained.encoder,
        weight=weight,
        bias=bias,
        lexical=LexicalModel.fit(rows.texts, rows.targets, seed=options.seed),
        examples=examples,
        example_labels=example_labels.astype(np.int64),
        closeness=closeness,
        labels=labels,
        example_texts=tuple(rows.texts[index] for index in indices) if options.keep_examples else (),
        is_multi_label=rows.is_multi_label,
        has_outside=has_outside,
    )


def cross_fitted_parts(
    trained: "TrainedEncoder", rows: LabelledRows, labels: tuple[str, ...], options: "ClassifierOptions"
) -> tuple[ScoreParts, LabelledRows]:
    """Return what heads that had not seen each row say of it, and the rows, in one order for both.

    Rows are dealt into five folds, label by label; a label with two examples is in four of five heads' rows at least
    once. Equal texts are in one fold.
    """
    folds = _deal(rows)
    found: list[ScoreParts] = []
    places: list[npt.NDArray[np.int64]] = []
    for fold in range(_NUM_FOLDS):
        indices = np.flatnonzero(folds == fold)
        asked, learnt = rows.at(indices), rows.at(np.flatnonzero(folds != fold))
        if not len(asked) or len(np.unique(learnt.targets, axis=0)) < 2:
            continue
        head = build_head(trained, learnt, labels, options)
        found.append(head.score_parts(asked.texts, trained.vectors(asked.texts)))
        places.append(indices)
    return _join(found), rows.at(np.concatenate(places))


def _deal(rows: LabelledRows) -> npt.NDArray[np.int64]:
    """Return the fold of each row: rows of a label one after the other, equal texts together."""
    fold_of: dict[str, int] = {}
    num_dealt: dict[bytes, int] = {}
    for text, target in zip(rows.texts, rows.targets, strict=True):
        key = target.tobytes()
        if text.casefold() not in fold_of:
            fold_of[text.casefold()] = num_dealt.get(key, 0) % _NUM_FOLDS
            num_dealt[key] = num_dealt.get(key, 0) + 1
    return np.array([fold_of[text.casefold()] for text in rows.texts])


def _join(parts: Sequence[ScoreParts]) -> ScoreParts:
    return ScoreParts(
        encoder=np.concatenate([part.encoder for part in parts]),
        lexical=np.concatenate([part.lexical for part in parts]),
        neighbours=np.concatenate([part.neighbours for part in parts]),
        signs=np.concatenate([part.signs for part in parts]),
    )


def fit_linear_layer(vectors: FloatArray, targets: npt.NDArray[Any], num_labels: int) -> tuple[FloatArray, FloatArray]:
    """Return a logistic regression on the encoder's vectors: (labels, dimension), (labels,).

    Raises:
        ModelFolderError: if the vectors are not finite.
    """
    from sklearn.linear_model import LogisticRegression

    if not np.isfinite(vectors).all():
        msg = "the base makes vectors that hold no numbers (NaN); its weights are broken, take another copy of it"
        raise ModelFolderError(msg)
    if targets.ndim == 2:
        return _fit_several(vectors, targets, num_labels)
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=300).fit(vectors, targets)
    found, bias = model.coef_, model.intercept_
    if found.shape[0] == 1:  # scikit-learn keeps one row for two labels
        found, bias = np.vstack([-found, found]) / 2, np.concatenate([-bias, bias]) / 2
    weight = np.zeros((num_labels, vectors.shape[1]), dtype=np.float32)
    biases = np.full(num_labels, _NEVER, dtype=np.float32)
    weight[model.classes_], biases[model.classes_] = found, bias
    return weight, biases


def _fit_several(vectors: FloatArray, targets: npt.NDArray[Any], num_labels: int) -> tuple[FloatArray, FloatArray]:
    from sklearn.linear_model import LogisticRegression

    weight = np.zeros((num_labels, vectors.shape[1]), dtype=np.float32)
    bias = np.zeros(num_labels, dtype=np.float32)
    for label, column in enumerate(targets.T):
        if column.min() == column.max():  # always or never there: nothing to tell it by
            bias[label] = 4.0 if column.max() else -4.0
            continue
        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=300).fit(vectors, column)
        weight[label], bias[label] = model.coef_[0], model.intercept_[0]
    return weight, bias


def _spread(targets: npt.NDArray[Any], *, seed: int) -> npt.NDArray[np.int64]:
    """Return the indices of at most 50 rows of each label or set of labels, in the order of label ids."""
    order = np.random.default_rng(seed).permutation(len(targets))
    seen: dict[bytes, int] = {}
    indices = []
    for index in order:
        key = targets[index].tobytes()
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= _EXAMPLES_PER_LABEL:
            indices.append(int(index))
    chosen = np.array(sorted(indices), dtype=np.int64)
    return chosen if targets.ndim == 2 else chosen[np.argsort(targets[chosen], kind="stable")]
