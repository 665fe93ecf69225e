"""The result type of every classifier."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Classification"]


class Classification(BaseModel):
    """A label for one text, with how sure the model is.

    Example:
        >>> reply = Classification(label="refund", probability=0.9, probabilities={"refund": 0.9, "other": 0.1})
        >>> reply.label, reply.accepted
        ('refund', True)
    """

    model_config = ConfigDict(frozen=True)

    label: str = Field(description="The most probable label.")
    probability: float = Field(ge=0.0, le=1.0, description="Calibrated probability of `label`.")
    probabilities: dict[str, float] = Field(
        description="All labels, most probable first; they sum to 1 unless several may apply."
    )
    margin: float = Field(
        default=1.0, ge=0.0, le=1.0, description="How far `label` is ahead of the second label, in probability."
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="Models with several labels per text: every label that applies. Else the labels that hold the "
        "right one with the confidence the model was trained for, most probable first; empty where that is unknown.",
    )
    in_scope: float = Field(
        default=1.0, ge=0.0, le=1.0, description="How much the text resembles the training texts; 1 is alike."
    )
    accepted: bool = Field(
        default=True,
        description="False where the text lies outside what the model learnt, is given its label for such texts, or "
        "the probability is too low.",
    )
