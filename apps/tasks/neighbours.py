"""Mistakes of a classifier beside the training texts that lie nearest to them: often one of these is labelled wrong."""

from collections.abc import Sequence

from llms import LocalClassifier
from llms.finetuning.records import ClassifierRow, labels_of
from llms.finetuning.report import ErrorExample, Neighbour
from llms.finetuning.splits import draw
from llms.trained_folders import open_trained_encoder

__all__ = ["add_neighbours"]

_NUM_NEIGHBOURS = 3
_MAX_ROWS = 20_000  # training texts that are looked at; of more some are drawn


def add_neighbours(
    errors: Sequence[ErrorExample], classifier: LocalClassifier, train: Sequence[ClassifierRow]
) -> list[ErrorExample]:
    """Return the errors with the nearest training texts by the vectors of the trained encoder, nearest first."""
    if not errors or classifier.manifest is None:
        return list(errors)
    encoder = open_trained_encoder(
        classifier.folder,
        classifier.manifest,
        engine=classifier.engine,
        device=classifier.device,
        precision=classifier.precision,
    )
    rows = sorted({row.text: row for row in train}.values(), key=lambda row: draw(0, row.text))[:_MAX_ROWS]
    near = encoder.encode([error.text for error in errors]) @ encoder.encode([row.text for row in rows]).T
    order = (-near).argsort(axis=1, kind="stable")[:, :_NUM_NEIGHBOURS]  # (errors, neighbours)
    return [
        error.model_copy(
            update={
                "neighbours": tuple(
                    Neighbour(rows[place].text, ", ".join(labels_of(rows[place])), round(float(cosines[place]), 4))
                    for place in places
                )
            }
        )
        for error, places, cosines in zip(errors, order.tolist(), near, strict=True)
    ]
