"""Options of training a reranker."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from llms.errors import OptionValueError
from llms.finetuning.trainer.options import TrainingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerOptions(TrainingOptions):
    """How a reranker is trained; what is common to all tasks stands in `TrainingOptions`.

    A step of the optimizer takes `batch_size` lists, each a query with a document that answers it and others that do
    not. With every method the layers above the body are trained, too.

    Attributes:
        loss: "bce" learns of each document whether it answers the query, or its score; "listwise" learns which
            document of a list does, and nothing from lists without an answer.
        num_negatives: documents that do not answer the query, mined or drawn for each pair beside those it gives.
    """

    full_learning_rate: ClassVar[float] = 5e-5

    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 256
    loss: Literal["bce", "listwise"] = "bce"
    num_negatives: int = 4

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        TrainingOptions.__post_init__(self)
        if self.loss not in ("bce", "listwise"):
            msg = f"loss must be bce or listwise, got {self.loss!r}"
            raise OptionValueError(msg)
        if self.num_negatives < 0:
            msg = f"num_negatives must be at least 0, got {self.num_negatives}"
            raise OptionValueError(msg)
