"""Active learning, self-training, and the search for label errors."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.labelling.active_learning import RememberingEncoder, Suggestion, suggest_rows
    from llms.finetuning.labelling.label_errors import LabelError, find_label_errors, out_of_fold_probabilities
    from llms.finetuning.labelling.self_training import self_train

__all__ = [
    "LabelError",
    "RememberingEncoder",
    "Suggestion",
    "find_label_errors",
    "out_of_fold_probabilities",
    "self_train",
    "suggest_rows",
]

__getattr__ = lazy_names(
    __name__,
    {
        "active_learning": ["RememberingEncoder", "Suggestion", "suggest_rows"],
        "label_errors": ["LabelError", "find_label_errors", "out_of_fold_probabilities"],
        "self_training": ["self_train"],
    },
)
