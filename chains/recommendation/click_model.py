"""Click model: how likely a user is to take an interest in an item, by logistic regression."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from chains.recommendation.features import FEATURE_NAMES, FeatureOptions
from llms.arrays import DoubleArray
from llms.field_errors import read_validated
from llms.files import replace_text

# features are of the order of 1; one that hardly varied in training is unknown to the model, and divided by its spread
# it would drown all others as soon as it varies (a first new item among old ones), or be the rounding of a processor
SMALLEST_SPREAD = 1e-3


class InterestModel(BaseModel):
    """Logistic regression over standardised features, stored as readable JSON.

    The probability is that of an item sampled as in training: a click or stronger after the cut, against a stated
    number of unused items per such click. It orders items and compares users; it is no forecast of a click rate.

    Example:
        >>> size = len(FEATURE_NAMES)
        >>> model = InterestModel(
        ...     means=(0.0,) * size, scales=(1.0,) * size, coefficients=(1.0,) + (0.0,) * (size - 1), intercept=0.0
        ... )
        >>> features = np.zeros((2, size))
        >>> features[1, 0] = 2.0  # closer to the user's taste
        >>> model.predict(features).round(2).tolist()
        [0.5, 0.88]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    feature_names: tuple[str, ...] = FEATURE_NAMES
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    feature_options: FeatureOptions = Field(default_factory=FeatureOptions)
    metrics: Mapping[str, float] = Field(default_factory=dict, description="Measured on users held out of a first fit.")

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        if self.feature_names != FEATURE_NAMES:
            unknown = sorted(set(self.feature_names) ^ set(FEATURE_NAMES)) or ["the same names in another order"]
            msg = f"the model was trained on other features ({', '.join(unknown)}); train it again"
            raise ValueError(msg)
        lengths = {len(self.means), len(self.scales), len(self.coefficients)}
        if lengths != {len(FEATURE_NAMES)}:
            msg = f"means, scales and coefficients need {len(FEATURE_NAMES)} numbers each, got {sorted(lengths)}"
            raise ValueError(msg)
        if min(self.scales) <= 0:
            msg = f"every scale must be positive, got {min(self.scales)}"
            raise ValueError(msg)
        return self

    def weigh(self, features: NDArray[np.floating]) -> DoubleArray:
        """Return what every feature adds to the log-odds, compared with an average row of the training set.

        Args:
            features: `(rows, num_features)` in the order of `feature_names`.

        Returns:
            `(rows, num_features)`; with the intercept, a row sums to the log-odds.
        """
        scales = np.array(self.scales)
        known = scales >= SMALLEST_SPREAD  # models of earlier versions have smaller ones
        weights = np.where(known, self.coefficients, 0.0) / np.where(known, scales, 1.0)
        weighed: DoubleArray = (features - np.array(self.means)) * weights
        return weighed

    def predict_log_odds(self, features: NDArray[np.floating]) -> DoubleArray:
        """Return `(rows,)` log-odds of interest."""
        log_odds: DoubleArray = self.weigh(features).sum(axis=1) + self.intercept
        return log_odds

    def predict(self, features: NDArray[np.floating]) -> DoubleArray:
        """Return `(rows,)` probabilities of interest, under the sampling of the training set."""
        from scipy.special import expit

        probabilities: DoubleArray = expit(self.predict_log_odds(features))
        return probabilities

    def save(self, path: Path) -> None:
        """Write the model to one JSON file, which is there whole or, after an error, as it was before.

        Raises:
            OSError: if it cannot be written.
        """
        replace_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the model saved at `path`.

        Raises:
            ModelFolderError: if the file is missing, is no such JSON, holds numbers that are not finite, or was
                trained on other features than this version computes.
        """
        return read_validated(cls, path, fault="is no interest model")
