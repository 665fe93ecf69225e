"""Label errors by confident learning: rows whose label a model that never saw them contradicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llms.errors import TrainingDataError
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.data.splits import draw
from llms.texts.folding import text_key

_Floats = npt.NDArray[np.floating]
_NUM_FOLDS = 5
_INVERSE_PENALTY = 10.0  # weaker than scikit-learn's: sentence vectors have length 1, so weights must be large


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelError:
    """A row that probably has the wrong label.

    Attributes:
        place: of the row in the rows given, from 0.
        suggested_label: what the model is confident of instead.
        margin: probability of the label given less that of the likeliest other one, in [-1, 1]; the lower, the
            surer.
    """

    place: int
    text: str
    label: str
    suggested_label: str
    margin: float
    line: int | None = None


def find_label_errors(
    rows: Sequence[LabelledText], probabilities: npt.ArrayLike, *, labels: Sequence[str] | None = None
) -> list[LabelError]:
    """Return the rows whose label is probably wrong, surest first.

    A label is believed where its probability reaches the mean that rows with this label get for it, so that labels
    the model is generally unsure of are not flooded. A row is suspected if the likeliest label that is believed is
    not its own. A label that got no probability in its own rows, as one with a single example, is not judged.

    Args:
        rows: one label each.
        probabilities: (rows, labels), rows sum to 1, from a model that did not see the row when it learnt; see
            `out_of_fold_probabilities`. From a model that learnt these rows, wrong labels look right.
        labels: what the columns stand for; by default the labels of the rows in alphabetical order.

    Raises:
        TrainingDataError: if shapes do not fit, a label has no column, or the values are no probabilities.

    Example:
        >>> rows = [LabelledText(text, label) for text, label in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")]]
        >>> errors = find_label_errors(rows, [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]])
        >>> [(error.text, error.label, error.suggested_label) for error in errors]
        [('d', 'y', 'x')]

    References:
        Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 2021,
        section 3 (thresholds, off-diagonal rows of the confident joint, ranking by normalised margin).
    """
    names = tuple(labels) if labels is not None else tuple(sorted({row.label for row in rows}))
    values = np.asarray(probabilities, dtype=np.float64)  # (rows, labels)
    _check_probabilities(rows, values, names)
    if not rows:
        return []
    given = np.array([names.index(row.label) for row in rows])
    own = values[np.arange(len(rows)), given]
    num_rows = np.bincount(given, minlength=len(names))
    mean_own = np.bincount(given, weights=own, minlength=len(names)) / np.maximum(num_rows, 1)
    thresholds = np.where(mean_own > 0, mean_own, np.inf)  # what cannot be judged is never believed

    believed = np.where(values >= thresholds - 1e-12, values, -1.0)  # a mean may lie a hair above its equal parts
    suggested = believed.argmax(axis=1)
    is_suspected = (believed.max(axis=1) >= 0) & (suggested != given) & (mean_own[given] > 0)
    others = values.copy()
    others[np.arange(len(rows)), given] = -1.0
    margins = own - others.max(axis=1)
    positions = np.flatnonzero(is_suspected)
    return [
        LabelError(
            place=int(position),
            text=rows[position].text,
            label=rows[position].label,
            suggested_label=names[suggested[position]],
            margin=round(float(margins[position]), 4),
            line=rows[position].line,
        )
        for position in positions[np.argsort(margins[positions], kind="stable")]
    ]


def out_of_fold_probabilities(
    texts: Sequence[str], label_ids: Sequence[int], *, vectors: npt.ArrayLike, seed: int
) -> _Floats:
    """Return (texts, labels) float64 probabilities, each row from a model that saw neither the text nor its equals.

    Five logistic regressions each learn four fifths of the rows and judge the rest. A label of which a model saw no
    row gets probability 0 from it.

    Args:
        texts: equal ones, up to case and punctuation, are judged by the same model.
        label_ids: 0 to the number of labels less 1; the columns of the result.
        vectors: (texts, dim), such as `LocalEmbeddings` gives.
        seed: deals the rows out to the models.

    Raises:
        TrainingDataError: if texts, labels and vectors differ in number, or fewer than two labels or texts are left
            to learn from.
    """
    from sklearn.linear_model import LogisticRegression

    ids, features = np.asarray(label_ids, dtype=np.int64), np.asarray(vectors, dtype=np.float32)
    if features.ndim != 2 or not len(texts) == len(ids) == len(features):
        msg = f"expected one label and one vector for each of {len(texts)} texts, got {len(ids)} and {features.shape}"
        raise TrainingDataError(msg)
    folds = _deal_folds(texts, ids, seed)
    probabilities = np.zeros((len(texts), int(ids.max(initial=-1)) + 1))
    for fold in np.unique(folds):
        learnt = folds != fold
        if len(np.unique(ids[learnt])) < 2:
            msg = (
                f"{len(set(texts))} texts do not leave two labels to learn from in each of {_NUM_FOLDS} parts; add rows"
            )
            raise TrainingDataError(msg)
        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000).fit(features[learnt], ids[learnt])
        judged = np.flatnonzero(~learnt)
        probabilities[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
    return probabilities


def _deal_folds(texts: Sequence[str], label_ids: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each text: the texts of a label go round the folds, equal texts into one."""
    keys = [text_key(text) for text in texts]
    first_label: dict[str, int] = {}  # of a text under several labels the lowest counts
    for key, label in zip(keys, label_ids.tolist(), strict=True):
        first_label[key] = min(label, first_label.get(key, label))
    # one round over all labels, so that labels with few texts do not all lie in the first fold
    order = sorted(first_label, key=lambda key: (first_label[key], draw(seed, key)))
    fold_of = {key: position % _NUM_FOLDS for position, key in enumerate(order)}
    return np.array([fold_of[key] for key in keys], dtype=np.int64)


def _check_probabilities(rows: Sequence[LabelledText], values: _Floats, labels: Sequence[str]) -> None:
    if rows and values.shape != (len(rows), len(labels)):
        msg = f"expected probabilities for {len(rows)} rows and {len(labels)} labels, got the shape {values.shape}"
        raise TrainingDataError(msg)
    if unknown := sorted({row.label for row in rows} - set(labels)):
        msg = f"no column for the label {unknown[0]!r}; name the labels in the order of the columns"
        raise TrainingDataError(msg)
    if not (np.isfinite(values).all() and (values >= 0).all() and np.allclose(values.sum(axis=-1), 1, atol=1e-3)):
        msg = "probabilities must be at least 0 and sum to 1 in each row; pass scores through a softmax first"
        raise TrainingDataError(msg)
