"""Names for numpy arrays of the element types used throughout."""

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "DoubleArray", "FloatArray", "IntArray"]

FloatArray = npt.NDArray[np.float32]  # vectors, probabilities, model outputs
DoubleArray = npt.NDArray[np.float64]  # statistics
IntArray = npt.NDArray[np.int64]  # ids and indices
BoolArray = npt.NDArray[np.bool_]  # masks
