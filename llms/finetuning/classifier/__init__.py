"""Training of classifiers: encoder, linear head, n-gram model, calibration and thresholds."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.classifier.finetune import TrainedClassifier, finetune_classifier
    from llms.finetuning.classifier.options import ClassifierOptions

__all__ = [
    "ClassifierOptions",
    "TrainedClassifier",
    "finetune_classifier",
]

__getattr__ = lazy_names(
    __name__,
    {"finetune": ["TrainedClassifier", "finetune_classifier"], "options": ["ClassifierOptions"]},
)
