"""Labelled texts as arrays, and the encoder that was trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray
from llms.encoder.sentence_encoder import SentenceEncoder
from llms.finetuning.data.examples import ClassifierRow, MultiLabelText, labels_of


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Texts and what is to be learnt of each.

    Attributes:
        targets: (texts,) label ids, or (texts, labels) 0 and 1 where several labels may apply.
    """

    texts: list[str]
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_multi_label(self) -> bool:
        """Whether several labels may apply to a text."""
        return self.targets.ndim == 2

    def at(self, indices: npt.NDArray[np.int64]) -> "LabelledRows":
        """Return the rows at these indices."""
        return LabelledRows([self.texts[index] for index in indices], self.targets[indices])


def to_rows(rows: Sequence[ClassifierRow], labels: Sequence[str], *, named: Sequence[str] = ()) -> LabelledRows:
    """Return texts and targets of rows.

    Args:
        named: labels whose names are further texts.

    Example:
        >>> from llms.finetuning.data.examples import LabelledText
        >>> to_rows([LabelledText("It is gone", "lost_card")], ["lost_card"], named=["lost_card"]).texts
        ['It is gone', 'lost card']
    """
    indices = {label: index for index, label in enumerate(labels)}
    texts = [row.text for row in rows]
    texts += [" ".join(label.replace("_", " ").replace("-", " ").split()) for label in named]
    if not any(isinstance(row, MultiLabelText) for row in rows):
        ids = [indices[labels_of(row)[0]] for row in rows] + [indices[label] for label in named]
        return LabelledRows(texts, np.array(ids, dtype=np.int64))
    targets = np.zeros((len(texts), len(labels)), dtype=np.float32)
    for index, own in enumerate([*(labels_of(row) for row in rows), *((label,) for label in named)]):
        targets[index, [indices[label] for label in own]] = 1.0
    return LabelledRows(texts, targets)


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """An encoder and the linear layer that was trained with it."""

    encoder: SentenceEncoder
    weight: FloatArray  # (labels, dimension)
    bias: FloatArray  # (labels,)
    history: list[dict[str, float]]
    parameters: tuple[int, int]  # trained, total
    _known: dict[str, FloatArray] = field(default_factory=dict)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Return unit vectors of texts, (texts, dimension); each different text is encoded once in its life."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        self._known.update(zip(new, self.encoder.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])
