"""Options of training a sentence encoder."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from llms.errors import OptionValueError, UnsupportedOptionError
from llms.finetuning.trainer.methods import Method
from llms.finetuning.trainer.options import TrainingOptions

_LOSSES = ("auto", "ranking", "cosent", "cosine")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsOptions(TrainingOptions):
    """How embeddings are trained; what is common to all tasks stands in `TrainingOptions`.

    The other documents of a batch are the negatives of a query, so a larger `batch_size` teaches more, and
    `gradient_accumulation`, which cuts batches into passes, less.

    Attributes:
        loss: "ranking" pulls each query to its document and away from all others, pairs with a score of 0.5 and
            less are hard negatives there; "cosent" learns the order of scores, "cosine" their values. "auto" is
            "ranking" unless a score lies strictly between 0 and 1. Labelled texts have a loss of their own.
        temperature: what cosines are divided by; the smaller, the more the nearest wrong document counts.
        hard_negatives: nearest documents that are no answers, mined once with the base, for each pair; only for the
            loss "ranking".
        max_negative_similarity: a mined document nearer to the query than this share of its answer's cosine, both
            counted from the mean over all documents, is taken for an answer that nobody marked.
    """

    full_learning_rate: ClassVar[float] = 5e-5
    methods: ClassVar[tuple[Method, ...]] = ("full", "lora", "dora", "adalora", "ia3", "adapter", "prefix")

    max_tokens: int = 256
    loss: Literal["auto", "ranking", "cosent", "cosine"] = "auto"
    temperature: float = 0.05
    hard_negatives: int = 0
    max_negative_similarity: float = 0.95

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        if self.method == "head":
            msg = "embeddings have no head above the encoder that could be trained alone; take method='lora' or another"
            raise UnsupportedOptionError(msg)
        TrainingOptions.__post_init__(self)
        if self.loss not in _LOSSES:
            msg = f"loss must be one of {', '.join(_LOSSES)}, got {self.loss!r}"
            raise OptionValueError(msg)
        if self.temperature <= 0 or self.hard_negatives < 0 or not 0 < self.max_negative_similarity <= 1:
            msg = (
                "temperature must be positive, hard_negatives at least 0 and max_negative_similarity in (0, 1], got "
                f"{self.temperature}, {self.hard_negatives} and {self.max_negative_similarity}"
            )
            raise OptionValueError(msg)
        if self.hard_negatives and self.loss in ("cosent", "cosine"):
            msg = f"hard_negatives are mined for loss='ranking' only, got loss={self.loss!r}; set one of the two"
            raise OptionValueError(msg)
