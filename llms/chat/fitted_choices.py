"""Probabilities of choices fitted on labelled rows: a temperature, and biases of choices where rows bear them out."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from llms.arrays import DoubleArray
from llms.engines.constraints import choices_constraint
from llms.errors import ConstraintError, DataFileError, OptionValueError
from llms.metrics import expected_calibration_error
from llms.texts.strict_json import parse_json

_FORMAT = 1
_SMALLEST = 1e-30  # of a probability whose logarithm is taken
_SCALE_SPREAD = 1.5  # of the log scale: a factor of about 4.5 either way is nothing special
_BIAS_SPREADS = (0.3, 1.0, 3.0)  # held-out rows choose; small ones keep a choice with few rows near the others


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesReport:
    """What rows that were held out say about a fit, in turn by fold.

    Attributes:
        num_rows: of all folds.
        accuracy_before: share of rows whose likeliest choice was right, as the model itself has it.
        calibration_error_before: `expected_calibration_error` of the likeliest choice, in 15 bins.
    """

    num_rows: int
    accuracy_before: float
    accuracy: float
    calibration_error_before: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class FittedChoices:
    """How the probabilities of some choices are corrected.

    Attributes:
        choices: the texts, as they were scored.
        scale: what log probabilities are multiplied by, one over the temperature.
        biases: added to each choice's scaled log probability; in the order of `choices`.
        report: of the rows it was fitted on.
    """

    choices: tuple[str, ...]
    scale: float
    biases: tuple[float, ...]
    report: ChoicesReport = field(compare=False)

    def apply(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Return the corrected probabilities of the same choices, summing to 1.

        Raises:
            OptionValueError: if they are of other choices, or none.
        """
        if set(probabilities) != set(self.choices):
            odd = sorted(set(probabilities) ^ set(self.choices))
            msg = f"the fit is for {len(self.choices)} choices, {odd[0]!r} is only among one of both; fit again"
            raise OptionValueError(msg)
        given = _logs([[probabilities[choice] for choice in self.choices]])
        fitted = softmax(self.scale * given + np.asarray(self.biases), axis=1)[0]
        by_choice = dict(zip(self.choices, fitted.tolist(), strict=True))
        return {choice: by_choice[choice] for choice in probabilities}

    def save(self, path: Path | str) -> None:
        """Write the fit as JSON."""
        content = {"format": _FORMAT, **asdict(self)}
        Path(path).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> "FittedChoices":
        """Return the fit that `save` wrote.

        Raises:
            DataFileError: if the file is missing, or no such fit.
        """
        try:
            content = parse_json(Path(path).read_text("utf-8"))
            if content["format"] != _FORMAT:
                msg = f"format {content['format']!r}, this version reads {_FORMAT}"
                raise ValueError(msg)
            choices = tuple(map(str, content["choices"]))
            biases = tuple(map(float, content["biases"]))
            if len(choices) != len(biases) or not choices or len(set(choices)) != len(choices):
                msg = f"{len(set(choices))} different choices of {len(choices)}, and {len(biases)} biases"
                raise ValueError(msg)
            scale = float(content["scale"])
            if scale <= 0 or not all(map(math.isfinite, (scale, *biases))):
                msg = f"a scale of {scale} and biases {biases}"
                raise ValueError(msg)
            return cls(choices, scale, biases, ChoicesReport(**content["report"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            msg = f"{path} holds no fit of choices ({error}); write one with FittedChoices.save"
            raise DataFileError(msg) from error


def fit_choices(
    probabilities: Sequence[Mapping[str, float]], labels: Sequence[str], *, num_folds: int = 5, seed: int = 0
) -> FittedChoices:
    """Return the fit of a model's probabilities to what was right.

    A temperature and biases by logistic regression on log probabilities. How freely the biases may differ, or whether
    there are any, is what predicts held-out rows best; the report is of those rows, too.

    Args:
        probabilities: of the same choices for each row, as `LocalChatModel.score_choices` gives them.
        labels: the right choice of each row.
        num_folds: parts that are held out in turn.
        seed: of the order in which rows go into folds.

    Raises:
        OptionValueError: for fewer rows than folds, less than two folds, or what is no probability.
        ConstraintError: if a label is none of the choices, or rows differ in their choices.

    Example:
        >>> rows = [{"yes": 0.9, "no": 0.1}] * 5 + [{"yes": 0.8, "no": 0.2}] * 5
        >>> fitted = fit_choices(rows, ["yes"] * 5 + ["no"] * 5)
        >>> fitted.report.num_rows, fitted.report.accuracy_before
        (10, 0.5)
    """
    if num_folds < 2 or len(labels) < num_folds or len(labels) != len(probabilities):
        msg = (
            f"a fit needs a label a row, two folds and as many rows as folds: got {len(probabilities)} rows, "
            f"{len(labels)} labels, {num_folds} folds"
        )
        raise OptionValueError(msg)
    choices = tuple(probabilities[0])
    choices_constraint(choices)
    if unknown := [label for label in labels if label not in choices]:
        msg = f"the label {unknown[0]!r} is none of the choices {', '.join(map(repr, choices[:10]))}"
        raise ConstraintError(msg)
    if any(set(row) != set(choices) for row in probabilities):
        msg = "the rows have probabilities of different choices; score the same choices for each"
        raise ConstraintError(msg)
    logs = _logs([[row[choice] for choice in choices] for row in probabilities])  # (rows, choices)
    targets = np.asarray([choices.index(label) for label in labels])
    folds = np.random.default_rng(seed).permutation(len(labels)) % num_folds
    held_out = {spread: _held_out(logs, targets, folds, spread) for spread in (0.0, *_BIAS_SPREADS)}
    spread = min(held_out, key=lambda one: _loss(held_out[one], targets))
    scale, biases = _fit(logs, targets, spread)
    before, after = _measured(logs, targets), _measured(held_out[spread], targets)
    report = ChoicesReport(
        num_rows=len(labels),
        accuracy_before=before[0],
        accuracy=after[0],
        calibration_error_before=before[1],
        calibration_error=after[1],
    )
    return FittedChoices(choices, scale, tuple(biases.tolist()), report)


def _logs(rows: Any) -> DoubleArray:
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"probabilities must be numbers; {error}"
        raise OptionValueError(msg) from error
    if not (np.isfinite(values).all() and (values >= 0).all()):
        odd = values[~(np.isfinite(values) & (values >= 0))][0]
        msg = f"probabilities must be finite and not negative, got {odd}"
        raise OptionValueError(msg)
    logs: DoubleArray = log_softmax(np.log(np.maximum(values, _SMALLEST)), axis=1)
    return logs


def _held_out(logs: DoubleArray, targets: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], spread: float) -> Any:
    """Return the log probabilities that each row gets from a fit on the other folds."""
    found = np.empty_like(logs)
    for fold in np.unique(folds):
        is_held = folds == fold
        scale, biases = _fit(logs[~is_held], targets[~is_held], spread)
        found[is_held] = log_softmax(scale * logs[is_held] + biases, axis=1)
    return found


def _fit(logs: DoubleArray, targets: npt.NDArray[np.int64], spread: float) -> tuple[float, DoubleArray]:
    """Return scale and biases of the largest posterior; a spread of 0 leaves the biases out."""
    num_choices = logs.shape[1]
    right = np.eye(num_choices)[targets]
    sizes = (1, num_choices if spread else 0)

    def objective(values: DoubleArray) -> tuple[float, DoubleArray]:
        log_scale, biases = values[0], values[1:]
        scaled = np.exp(log_scale) * logs
        fitted = log_softmax(scaled + biases if spread else scaled, axis=1)
        rest = np.exp(fitted) - right  # (rows, choices)
        loss = -float(fitted[right == 1].sum()) + 0.5 * (log_scale / _SCALE_SPREAD) ** 2
        slope = [float((rest * scaled).sum()) + log_scale / _SCALE_SPREAD**2]
        if spread:
            loss += 0.5 * float((biases**2).sum()) / spread**2
            return loss, np.concatenate([slope, rest.sum(axis=0) + biases / spread**2])
        return loss, np.asarray(slope)

    found = minimize(objective, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B")
    biases = found.x[1:] if spread else np.zeros(num_choices)
    return float(np.exp(found.x[0])), biases


def _loss(logs: DoubleArray, targets: npt.NDArray[np.int64]) -> float:
    return -float(logs[np.arange(len(targets)), targets].sum())


def _measured(logs: DoubleArray, targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and calibration error."""
    is_right = logs.argmax(axis=1) == targets
    return float(is_right.mean()), expected_calibration_error(np.exp(logs.max(axis=1)).clip(0, 1), is_right)
