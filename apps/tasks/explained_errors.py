"""Explanations of a classifier's mistakes: the words that misled it and the nearest training texts."""

import importlib.util
from collections.abc import Sequence

from llms import LocalClassifier
from llms.classifier import ClassifierHead, find_near_examples
from llms.finetuning.report import ErrorExample, Neighbour

_NUM_NEIGHBOURS = 3
_NUM_WITH_WORDS = 12  # the page shows the others folded; each takes a tenth of a second


def explain_errors(errors: Sequence[ErrorExample], classifier: LocalClassifier) -> list[ErrorExample]:
    """Return the errors with the nearest training texts, one of which is often labelled wrong, nearest first.

    The first ones also get the weight of each word for what was predicted, where captum is installed.
    """
    head = classifier.head
    if not errors or not isinstance(head, ClassifierHead):
        return list(errors)
    vectors = head.encoder.encode([error.text for error in errors])
    explained: list[ErrorExample] = []
    for index, (error, vector) in enumerate(zip(errors, vectors, strict=True)):
        near = find_near_examples(head, vector, num_examples=_NUM_NEIGHBOURS)
        neighbours = tuple(Neighbour(example.text, example.label or "", example.similarity) for example in near)
        words = _weigh(error, classifier) if index < _NUM_WITH_WORDS else ()
        explained.append(error.model_copy(update={"neighbours": neighbours, "words": words}))
    return explained


def _weigh(error: ErrorExample, classifier: LocalClassifier) -> tuple[tuple[str, float], ...]:
    if importlib.util.find_spec("captum") is None or error.predicted not in classifier.labels:
        return ()
    explanation = classifier.explain(error.text, label=error.predicted, num_examples=0)
    return tuple((word.word, word.weight) for word in explanation.words)
