"""Replies of a classifier to training rows that it had not seen, kept beside it for whatever is fitted on top of it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from llms.classifier.results import Classification
from llms.field_errors import read_validated

HELD_OUT_NAME = "held_out.json"
_NUM_LIKELIEST = 3  # more are hardly ever asked for, and 150 labels would make the file large


class HeldOutReply(BaseModel):
    """What a classifier said of a row before it learnt that row.

    Attributes:
        text_sha256: of the row's text, which is not kept.
        label: the right one.
        likeliest: the most probable labels with their calibrated probabilities, most probable first.
        in_scope: as in `Classification`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_sha256: str
    label: str
    likeliest: Mapping[str, float] = Field(min_length=1)
    in_scope: float

    def as_classification(self) -> Classification:
        """Return the reply as the classifier would give it, with no other labels than the likeliest."""
        (label, probability), *others = self.likeliest.items()
        return Classification(
            label=label,
            probability=probability,
            probabilities=dict(self.likeliest),
            margin=max(0.0, probability - max((share for _, share in others), default=0.0)),
            in_scope=self.in_scope,
        )


class HeldOutReplies(BaseModel):
    """The file of them in a model's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    rows: tuple[HeldOutReply, ...] = ()


def collect_replies(texts: Sequence[str], labels: Sequence[str], replies: Sequence[Classification]) -> HeldOutReplies:
    """Return what is kept of the replies to texts.

    Args:
        texts: that the classifier had not seen.
        labels: the right one of each.
        replies: of the classifier.
    """
    return HeldOutReplies(
        rows=tuple(
            HeldOutReply(
                text_sha256=text_digest(text),
                label=label,
                likeliest=_likeliest(reply.probabilities),
                in_scope=round(reply.in_scope, 6),
            )
            for text, label, reply in zip(texts, labels, replies, strict=True)
        )
    )


def _likeliest(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {label: round(share, 6) for label, share in list(probabilities.items())[:_NUM_LIKELIEST]}


def save_held_out(replies: HeldOutReplies, folder: Path) -> None:
    """Write the replies into a model's folder."""
    (folder / HELD_OUT_NAME).write_text(replies.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_held_out(folder: Path) -> HeldOutReplies:
    """Return the replies kept in a model's folder; none for a model trained before they were kept.

    Raises:
        ModelFolderError: if the file cannot be read.
    """
    path = folder / HELD_OUT_NAME
    if not path.is_file():
        return HeldOutReplies()
    fault = "holds no replies to held-out rows"
    return read_validated(HeldOutReplies, path, fault=fault, advice="train the model again")


def text_digest(text: str) -> str:
    """Return what tells a text from others without holding it."""
    return hashlib.sha256(text.encode()).hexdigest()
