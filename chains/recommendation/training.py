"""Training of the interest model on what users did next."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.click_model import SMALLEST_SPREAD, InterestModel
from chains.recommendation.features import FEATURE_NAMES, FeatureOptions, FeatureTable
from chains.recommendation.user_profile import build_profile
from llms.errors import OptionValueError, TrainingDataError
from retrievers import INTEREST_KINDS, EventKind, Interactions, ItemCatalogue

TEXT_USERS = 5.0  # of an item, who count as much as its text; found on a time split within the sample data


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestOptions:
    """How the interest model is trained."""

    cut_shares: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)  # one set of examples per cut, each from its own past
    label_share: float = 0.1  # of all events, right after each cut
    num_negatives: int = 40  # unused items drawn per positive
    strength: float = 1.0  # inverse of the penalty on coefficients
    positive_kinds: frozenset[EventKind] = frozenset(INTEREST_KINDS) - {EventKind.VIEW}
    seed: int = 0
    # a model that was kept before there was such a mixture reads as without one, so that is the default of the features
    features: FeatureOptions = field(default_factory=lambda: FeatureOptions(text_users=TEXT_USERS))

    def __post_init__(self) -> None:
        """Refuse cuts whose labels would lie outside the data."""
        if not self.cut_shares or not all(0 < share < 1 for share in self.cut_shares):
            msg = f"cut_shares must lie between 0 and 1 and not be empty, got {self.cut_shares}"
            raise OptionValueError(msg)
        if not 0 < self.label_share < 1 or self.num_negatives < 1:
            msg = "label_share must lie between 0 and 1, and num_negatives be at least 1"
            raise OptionValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestExamples:
    """Rows the interest model learns from."""

    features: NDArray[np.float32]  # (rows, num_features), from before the cut only
    labels: NDArray[np.bool_]  # (rows,), from after the cut only
    users: NDArray[np.str_]  # (rows,), so that a user can be held out as a whole
    weights: NDArray[np.float64]  # (rows,), mean 1: a user with four times the positives counts twice


def train_interest_model(
    *, catalogue: ItemCatalogue, vectors: NDArray[np.float32], interactions: Interactions, options: InterestOptions
) -> InterestModel:
    """Return an interest model trained on events in time order.

    The events are cut at several moments. At each, features come from the events before the cut and labels from
    those right after it, so that no feature knows what it is to predict.

    Args:
        catalogue: the items; `interactions` must have its order as item axis.
        vectors: `(num_items, dim)` unit rows in catalogue order.
        interactions: all events to learn from.
        options: cuts, sampling, features and seed.

    Raises:
        TrainingDataError: if no cut leaves any user with a click or more on an item new to them.
    """
    parts = []
    for share in options.cut_shares:
        before, rest = interactions.split_by_time(share)
        after = rest.events[: int(len(interactions) * options.label_share)]
        later = Interactions(after, interactions.weights, items=interactions.items)
        table = FeatureTable(catalogue=catalogue, vectors=vectors, interactions=before, options=options.features)
        parts.append(build_examples(table, before, later, options))
    examples = InterestExamples(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        users=np.concatenate([part.users for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
    )
    return fit_interest_model(examples, options)


def build_examples(
    table: FeatureTable, before: Interactions, after: Interactions, options: InterestOptions
) -> InterestExamples:
    """Return rows with features from `before` and labels from `after`.

    Positives are a user's items of `after` of a positive kind that were not in their past; negatives are drawn
    evenly from the items in neither. Users without a past are kept: the model must serve them too.

    Args:
        table: the items as they looked at the end of `before`.
        before: the past of every user.
        after: what they did next.
        options: sampling and seed.
    """
    rng = np.random.default_rng(options.seed)
    features, labels, users, weights = [], [], [], []
    for user in after.users:
        profile = build_profile(user, before.history(user), before.weights, table.now)
        wanted = dict.fromkeys(
            e.item for e in after.history(user) if e.event in options.positive_kinds and e.is_interest
        )
        positives = [item for item in wanted if item not in profile.last_used]
        if not positives:
            continue
        touched = {*profile.last_used, *profile.unwanted, *(event.item for event in after.history(user))}
        drawn = _draw_unused(table, touched, options.num_negatives * len(positives), rng)
        rows = np.array([*(table.catalogue.positions[item] for item in positives), *drawn], dtype=np.intp)
        features.append(table.compute(table.score_user(profile), rows))
        labels.append(np.arange(len(rows)) < len(positives))
        users.append(np.full(len(rows), user))
        weights.append(np.full(len(rows), len(positives) ** -0.5))
    if not features:
        nobody = np.empty(0)
        return InterestExamples(
            features=np.empty((0, len(FEATURE_NAMES)), dtype=np.float32),
            labels=nobody.astype(bool),
            users=nobody.astype(np.str_),
            weights=nobody,
        )
    weight = np.concatenate(weights)
    return InterestExamples(
        features=np.concatenate(features),
        labels=np.concatenate(labels),
        users=np.concatenate(users),
        weights=weight / weight.mean(),
    )


def _draw_unused(table: FeatureTable, touched: set[str], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the rows of `count` different items the user never touched; all of them, if there are fewer.

    What was made after the table's moment could not have been used, so it is no negative.
    """
    positions = table.catalogue.positions
    is_unused = table.has_begun.copy()
    is_unused[[positions[item] for item in touched]] = False
    unused = np.flatnonzero(is_unused)
    drawn: NDArray[np.intp] = rng.choice(unused, size=min(len(unused), count), replace=False)
    return drawn


def fit_interest_model(examples: InterestExamples, options: InterestOptions) -> InterestModel:
    """Return the model for these rows, with its quality measured on a fifth of the users.

    The measured model is fitted on the other users; the model returned is fitted on all.

    Raises:
        TrainingDataError: if there are fewer than ten positives, or no negatives.
    """
    num_positives = int(examples.labels.sum())
    if num_positives < 10 or num_positives == len(examples.labels):
        msg = f"{num_positives} of {len(examples.labels)} rows are positive; at least 10 and some negatives are needed"
        raise TrainingDataError(msg)
    held_out = np.isin(examples.users, _draw_users(examples.users, options.seed))
    metrics = {"rows": float(len(examples.labels)), "positive_share": float(examples.labels.mean())}
    if examples.labels[held_out].any() and examples.labels[~held_out].any():
        measured = _fit(examples, ~held_out, options, {})
        metrics |= _measure(measured, examples, held_out)
    return _fit(examples, np.ones(len(held_out), dtype=bool), options, metrics)


def _fit(
    examples: InterestExamples, rows: NDArray[np.bool_], options: InterestOptions, metrics: dict[str, float]
) -> InterestModel:
    from sklearn.linear_model import LogisticRegression

    features = examples.features[rows].astype(np.float64)
    means, scales = features.mean(axis=0), features.std(axis=0)
    scales = np.where(scales >= SMALLEST_SPREAD, scales, 1.0)
    regression = LogisticRegression(C=options.strength, max_iter=1000)
    regression.fit((features - means) / scales, examples.labels[rows], sample_weight=examples.weights[rows])
    return InterestModel(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        coefficients=tuple(regression.coef_[0].tolist()),
        intercept=float(regression.intercept_[0]),
        feature_options=options.features,
        metrics=metrics,
    )


def _draw_users(users: NDArray[np.str_], seed: int) -> Sequence[str]:
    names = np.unique(users)
    return list(np.random.default_rng(seed).choice(names, size=max(1, len(names) // 5), replace=False))


def _measure(model: InterestModel, examples: InterestExamples, rows: NDArray[np.bool_]) -> dict[str, float]:
    """Return log loss, area under the ROC curve and calibration error over ten bins of equal size."""
    from sklearn.metrics import log_loss, roc_auc_score

    labels, weights = examples.labels[rows], examples.weights[rows]
    probabilities = model.predict(examples.features[rows])
    bins = np.array_split(np.argsort(probabilities, kind="stable"), 10)
    gaps = [abs(float(weights[part] @ (probabilities[part] - labels[part]))) for part in bins]
    measured = {"log_loss": float(log_loss(labels, probabilities, sample_weight=weights, labels=[False, True]))}
    if not labels.all():
        measured["auc"] = float(roc_auc_score(labels, probabilities, sample_weight=weights))
    return measured | {"calibration_error": sum(gaps) / float(weights.sum())}
