"""Replies of a classifier to training rows that it had not seen, kept beside it for whatever is fitted on top of it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llms.arrays import FloatArray
from llms.classifier.results import Classification
from llms.errors import ModelFolderError
from llms.field_errors import describe_errors

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


def collect_held_out(
    texts: Sequence[str],
    targets: Sequence[int],
    probabilities: FloatArray,
    in_scope: FloatArray,
    labels: Sequence[str],
) -> HeldOutReplies:
    """Return the replies to held-out texts.

    Args:
        targets: (texts,) ids of the right labels.
        probabilities: (texts, labels).
        in_scope: (texts,).
    """
    rows = []
    for text, target, shares, scope in zip(texts, targets, probabilities, in_scope, strict=True):
        order = (-shares).argsort(kind="stable")[:_NUM_LIKELIEST]
        likeliest = {labels[int(index)]: round(float(shares[index]), 6) for index in order}
        rows.append(
            HeldOutReply(
                text_sha256=text_digest(text),
                label=labels[target],
                likeliest=likeliest,
                in_scope=round(float(scope), 6),
            )
        )
    return HeldOutReplies(rows=tuple(rows))


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
    try:
        return HeldOutReplies.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = describe_errors(error) if isinstance(error, ValidationError) else error
        msg = f"{path} holds no replies to held-out rows: {reason}; train the model again"
        raise ModelFolderError(msg) from error


def text_digest(text: str) -> str:
    """Return what tells a text from others without holding it."""
    return hashlib.sha256(text.encode()).hexdigest()
