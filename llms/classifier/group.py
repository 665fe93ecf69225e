"""`ClassifierGroup`: several classifiers asked at once; those over one encoder read each text once."""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from llms.arrays import FloatArray
from llms.batch_runnable import BatchRunnable
from llms.classifier.head import ClassifierHead
from llms.classifier.local_classifier import LocalClassifier
from llms.classifier.results import Classification
from llms.errors import OptionValueError

Answers = dict[str, Classification]


class ClassifierGroup(BatchRunnable[Answers]):
    """Asks several classifiers, such as topic and tone, and returns what each says by name.

    Reading a text is nearly all the work of a classifier. Those trained with `method="head"` and
    `keep_adapter=True` on one base share its encoder, so that any number of them costs little more than one.

    Args:
        classifiers: by the name under which each answers; at least one.
        batch_size: texts per forward pass.

    Raises:
        OptionValueError: if there is no classifier.
    """

    _kind = "a group of classifiers"

    def __init__(self, classifiers: Mapping[str, LocalClassifier], *, batch_size: int = 64) -> None:
        if not classifiers:
            msg = "a group needs at least one classifier, got none"
            raise OptionValueError(msg)
        self.classifiers = dict(classifiers)
        self.batch_size = batch_size

    @override
    def _batch(self, texts: Sequence[str]) -> list[Answers]:
        vectors: dict[int, FloatArray] = {}  # by encoder
        replies: dict[str, list[Classification]] = {}
        for name, classifier in self.classifiers.items():
            head = classifier.head
            if not isinstance(head, ClassifierHead):
                replies[name] = classifier.batch(list(texts))
                continue
            key = id(head.encoder)
            if key not in vectors:
                vectors[key] = head.encoder.encode(texts, batch_size=self.batch_size)
            replies[name] = classifier.reply_from_vectors(texts, vectors[key])
        return [{name: own[index] for name, own in replies.items()} for index in range(len(texts))]
