"""Options of training a tagger."""

from dataclasses import dataclass
from typing import ClassVar

from llms.finetuning.trainer.options import TrainingOptions

_HEAD_RATE = 1e-2  # a single layer on a frozen encoder learns nothing at the rate of a whole network


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggerOptions(TrainingOptions):
    """How a tagger is trained; what is common to all tasks stands in `TrainingOptions`.

    Texts beyond `max_tokens` are not cut: they are learnt and read in overlapping windows.
    """

    full_learning_rate: ClassVar[float] = 3e-4

    @property
    def peak_learning_rate(self) -> float:
        """The rate given, or the method's own.

        Example:
            >>> TaggerOptions(method="head").peak_learning_rate
            0.01
        """
        if self.learning_rate is None and self.method == "head":
            return _HEAD_RATE
        return super(TaggerOptions, self).peak_learning_rate  # slots make a class anew, which plain super() misses
