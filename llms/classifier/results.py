"""Result types of classifiers and their explanations."""

from pydantic import BaseModel, ConfigDict, Field


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


class WordWeight(BaseModel):
    """A word of the text and how much it speaks for the label."""

    model_config = ConfigDict(frozen=True)

    word: str
    start: int = Field(description="Where it begins in the text; text[start:end] is the word.")
    end: int
    weight: float = Field(description="Share of the label's score in logits; below 0 it speaks against the label.")


class NearExample(BaseModel):
    """A labelled training text that resembles the text."""

    model_config = ConfigDict(frozen=True)

    text: str
    label: str | None = Field(description="None where training texts may have several labels.")
    similarity: float = Field(description="Cosine of the two sentence vectors, -1 to 1.")


class Explanation(BaseModel):
    """Why a classifier says what it says of one text.

    Example:
        >>> word = WordWeight(word="refund", start=2, end=8, weight=1.4)
        >>> Explanation(text="a refund", label="refund", probability=0.9, words=(word,)).words[0].word
        'refund'
    """

    model_config = ConfigDict(frozen=True)

    text: str
    label: str = Field(description="The label that is explained.")
    probability: float
    words: tuple[WordWeight, ...] = Field(description="Every word of the text that was read, in its order.")
    examples: tuple[NearExample, ...] = Field(default=(), description="Nearest training texts, most alike first.")
    convergence_gap: float = Field(
        default=0.0,
        description="How far the weights from the encoder are from adding up to the change of its logit, as a share "
        "of that change; a few hundredths are usual, more calls for more steps.",
    )
