"""Options of training a classifier, and of what its thresholds are fitted for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from llms.errors import OptionValueError
from llms.finetuning.classifier.evaluation import AccuracyTarget
from llms.finetuning.data.examples import ClassifierRow, labels_of
from llms.finetuning.trainer.methods import METHODS, Method
from llms.finetuning.trainer.options import TrainingOptions

_FEW_EXAMPLES = 20  # of a label; with fewer, its name is worth an example


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOptions(TrainingOptions):
    """How a classifier is trained; what is common to all tasks stands in `TrainingOptions`.

    Its method may also be "auto": the last layer alone, or more where held-out rows say that it pays.

    Attributes:
        accepted_accuracy: share of the accepted answers that shall be right.
        accepted_confidence: how sure that shall be, 0.5 to 1; 0 takes the share on the held-out rows as it is.
        label_set_confidence: share of texts whose right label shall be among `Classification.labels`.
        outside_label: the label of rows that belong to none of the others, such as messages about anything else. It
            is learnt as a label, an answer with it is never accepted, and its examples tell better than the others
            alone what is out of scope. None where there are no such rows.
        split_by: how rows are held out: the same share of every label, whole groups, or the latest.
        learn_names: whether a label's name is learnt as one more example of it, as "card_lost" says much; None is
            yes for labels of words where most have fewer than 20 examples.
        contrastive_epochs: passes in which the encoder first learns to bring texts of one label together; with few
            examples that helps more than training head and encoder together. 0 for none.
        augment: copies of each training row with typing errors; held-out rows have none.
        keep_examples: whether up to 50 training texts of each label are kept in the folder, so that the nearest can
            be shown beside an answer; their vectors are kept in any case.
    """

    methods: ClassVar[tuple[Method, ...]] = tuple(METHODS)

    accepted_accuracy: float = 0.95
    accepted_confidence: float = 0.0
    label_set_confidence: float = 0.95
    outside_label: str | None = None
    split_by: Literal["label", "group", "time"] = "label"
    learn_names: bool | None = None
    contrastive_epochs: int = 0
    augment: int = 0
    keep_examples: bool = True

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        TrainingOptions.__post_init__(self)
        for name in ("accepted_accuracy", "label_set_confidence"):
            if not 0 < getattr(self, name) < 1:
                msg = f"{name} must lie between 0 and 1, got {getattr(self, name)}"
                raise OptionValueError(msg)
        if self.contrastive_epochs < 0 or (self.contrastive_epochs and self.keep_adapter):
            msg = (
                "contrastive_epochs must be at least 0, and changes the base, so that nothing can be kept beside it; "
                f"got {self.contrastive_epochs} with keep_adapter={self.keep_adapter}"
            )
            raise OptionValueError(msg)
        if self.augment < 0:
            msg = f"augment must be at least 0, got {self.augment}"
            raise OptionValueError(msg)
        if self.accepted_confidence != 0 and not 0.5 < self.accepted_confidence < 1:
            msg = f"accepted_confidence must be 0 or lie between 0.5 and 1, got {self.accepted_confidence}"
            raise OptionValueError(msg)

    def learns_names(self, rows: Sequence[ClassifierRow]) -> bool:
        """Return whether the names of the labels are learnt beside these rows.

        Example:
            >>> from llms.finetuning.data.examples import LabelledText
            >>> rows = [LabelledText("Where is it?", "card_arrival"), LabelledText("It is gone", "lost_card")]
            >>> ClassifierOptions().learns_names(rows), ClassifierOptions().learns_names(rows * 50)
            (True, False)
        """
        counts = Counter(label for row in rows for label in labels_of(row) if label != self.outside_label)
        if self.learn_names is not None:
            return self.learn_names
        is_words = all(any(character.isalpha() for character in label) and len(label) > 2 for label in counts)
        return is_words and float(np.median(list(counts.values()))) < _FEW_EXAMPLES

    @property
    def accuracy_target(self) -> AccuracyTarget:
        """What the thresholds are fitted for."""
        return AccuracyTarget(
            accepted_accuracy=self.accepted_accuracy,
            confidence=self.accepted_confidence,
            label_set_confidence=self.label_set_confidence,
        )
