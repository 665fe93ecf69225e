"""A classifier in seconds: a head on a frozen encoder, to label by while there are few labels."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from llms.classifier_head import ClassifierHead
from llms.finetuning.calibration import Promise, fit_calibration
from llms.finetuning.heads import LabelledRows, fit_linear_layer, to_rows
from llms.finetuning.rows import LabelledText
from llms.finetuning.splits import split_rows
from llms.lexical import LexicalModel
from llms.scope import own_closeness
from llms.text_encoder import PreparedText, Role, TextEncoder

if TYPE_CHECKING:
    from llms.finetuning.classifier import ClassifierOptions

__all__ = ["RememberingEncoder", "fit_draft_head", "predict_in_blocks"]

FloatArray = npt.NDArray[np.float32]
_USUAL_SCALES = (1.0, 1.0, 5.0)
_HELD_OUT_SHARE = 0.2
_ENOUGH_HELD_OUT = 20  # with fewer, the scales that usually come out are the better guess
_BLOCK_ROWS = 2_048  # bounds the memory of the products with all examples


class RememberingEncoder(TextEncoder):
    """Another encoder whose vectors are made once: a text that comes again costs nothing.

    Args:
        encoder: makes the vectors that are missing.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.name = encoder.name
        self._known: dict[tuple[Role, str], FloatArray] = {}

    @property
    @override
    def dimension(self) -> int:
        return self.encoder.dimension

    def remember(self, texts: Sequence[str], vectors: FloatArray, *, role: Role = "plain") -> None:
        """Take vectors that the encoder made of the texts before."""
        for text, vector in zip(texts, vectors, strict=True):
            self._known[role, text] = vector

    @override
    def encode(
        self, texts: Sequence[str], *, role: Role = "plain", batch_size: int = 64, show_progress: bool = False
    ) -> FloatArray:
        missing = list(dict.fromkeys(text for text in texts if (role, text) not in self._known))
        if missing:
            made = self.encoder.encode(missing, role=role, batch_size=batch_size, show_progress=show_progress)
            self.remember(missing, made, role=role)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._known[role, text] for text in texts])

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        return self.encoder.prepare(texts, role)

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        return np.stack([self.encode([prepared.text], role=prepared.role)[0] for prepared in batch])


def fit_draft_head(
    rows: Sequence[LabelledText], *, encoder: TextEncoder, options: "ClassifierOptions", labels: Sequence[str] = ()
) -> ClassifierHead | None:
    """Return linear layer, n-grams and nearest examples on the frozen encoder; None for fewer than two labels.

    It is what `finetune_classifier` makes with the method "head", less thresholds, scope and checks: good enough to
    say which rows are hard. Its scales are fitted on a fifth of the rows.

    Args:
        rows: any number of each label, even one.
        labels: further ones that have no row yet; they are known by their names, where names are learnt.
    """
    found = {row.label for row in rows}
    learns_names = bool(rows) and options.learns_names(rows)
    known = tuple(sorted(found.union(labels) if learns_names else found))
    if len(known) < 2:
        return None
    head = _fit(to_rows(rows, known, named=known if learns_names else ()), encoder, known, seed=options.seed)
    kept, held_out = split_rows(rows, held_out_share=_HELD_OUT_SHARE, seed=options.seed)
    # every label must be learnt in the same place, and with names each has a row
    is_fair = learns_names or {row.label for row in kept} == found
    if len(held_out) >= _ENOUGH_HELD_OUT and is_fair:
        judge = _fit(to_rows(kept, known, named=known if learns_names else ()), encoder, known, seed=options.seed)
        asked = to_rows(held_out, known)
        parts = judge.score_parts(asked.texts, encoder.encode(asked.texts))
        head.scales = fit_calibration(parts, asked.targets, Promise(), known).scales
    return head


def predict_in_blocks(head: ClassifierHead, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
    """Return the probabilities of many texts, (texts, labels), in memory that does not grow with the examples."""
    probabilities = np.zeros((len(texts), len(head.labels)), dtype=np.float32)
    for start in range(0, len(texts), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        probabilities[block], _ = head.predict_from_vectors(texts[block], vectors[block])
    return probabilities


def _fit(rows: LabelledRows, encoder: TextEncoder, labels: tuple[str, ...], *, seed: int) -> ClassifierHead:
    vectors = encoder.encode(rows.texts)
    order = np.argsort(rows.targets, kind="stable")  # a head's examples lie in the order of their labels
    with warnings.catch_warnings():
        # with a row or two per label scikit-learn wonders whether numbers were meant
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        weight, bias = fit_linear_layer(vectors, rows.targets, len(labels))
        lexical = LexicalModel.fit(rows.texts, rows.targets, seed=seed)
    return ClassifierHead(
        encoder=encoder,
        weight=weight,
        bias=bias,
        lexical=lexical,
        examples=vectors[order],
        example_labels=rows.targets[order].astype(np.int64),
        closeness=own_closeness(vectors[order]),
        labels=labels,
        scales=_USUAL_SCALES,
        is_multi_label=False,
    )
