"""Result types of taggers."""

from pydantic import BaseModel, ConfigDict, Field


class Span(BaseModel):
    """A part of a text with its label; `text` is what stands between `start` and `end`."""

    model_config = ConfigDict(frozen=True)

    start: int = Field(ge=0, description="Offset of its first character in the text as it was given.")
    end: int = Field(gt=0, description="Offset behind its last character.")
    label: str = Field(description="What it is.")
    text: str = Field(description="The characters between the two offsets.")
    probability: float = Field(
        ge=0.0, le=1.0, description="Geometric mean of the calibrated probabilities of its words' tags."
    )


class Tagging(BaseModel):
    """A text and the labelled spans found in it, in the order of the text; no two overlap.

    Example:
        >>> lyon = Span(start=3, end=7, label="place", text="Lyon", probability=0.9)
        >>> [(span.text, span.label) for span in Tagging(text="To Lyon", spans=(lyon,)).spans]
        [('Lyon', 'place')]
    """

    model_config = ConfigDict(frozen=True)

    text: str = Field(description="The text as it was given.")
    spans: tuple[Span, ...] = Field(default=(), description="What was found, first in the text first.")
