"""Classifiers: texts to labels with calibrated probabilities.

Read in this order: `local_classifier`, `head`, `lexical`, `out_of_scope`. Training: `llms.finetuning.classifier`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.classifier.explaining import find_near_examples
    from llms.classifier.group import ClassifierGroup
    from llms.classifier.head import ClassifierHead
    from llms.classifier.held_out import HeldOutReplies, collect_replies, load_held_out, text_digest
    from llms.classifier.lexical import LexicalModel
    from llms.classifier.local_classifier import LocalClassifier
    from llms.classifier.results import Classification, Explanation

__all__ = [
    "Classification",
    "ClassifierGroup",
    "ClassifierHead",
    "Explanation",
    "HeldOutReplies",
    "LexicalModel",
    "LocalClassifier",
    "collect_replies",
    "find_near_examples",
    "load_held_out",
    "text_digest",
]

__getattr__ = lazy_names(
    __name__,
    {
        "explaining": ["find_near_examples"],
        "group": ["ClassifierGroup"],
        "head": ["ClassifierHead"],
        "held_out": ["HeldOutReplies", "collect_replies", "load_held_out", "text_digest"],
        "lexical": ["LexicalModel"],
        "local_classifier": ["LocalClassifier"],
        "results": ["Classification", "Explanation"],
    },
)
