"""Several classifiers asked at once: those over one encoder read each text once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from typing_extensions import override

from llms.arrays import FloatArray
from llms.classifier.head import ClassifierHead
from llms.classifier.local_classifier import LocalClassifier
from llms.classifier.results import Classification
from llms.errors import OptionValueError, UnknownOptionError
from llms.texts.checks import check_text

Answers = dict[str, Classification]


class ClassifierGroup(Runnable[str, Answers]):
    """Asks several classifiers, such as topic and tone, and returns what each says by name.

    Reading a text is nearly all the work of a classifier. Those trained with `method="head"` and
    `keep_adapter=True` on one base share its encoder, so that any number of them costs little more than one.

    Args:
        classifiers: by the name under which each answers; at least one.
        batch_size: texts per forward pass.

    Raises:
        OptionValueError: if there is no classifier.
    """

    def __init__(self, classifiers: Mapping[str, LocalClassifier], *, batch_size: int = 64) -> None:
        if not classifiers:
            msg = "a group needs at least one classifier, got none"
            raise OptionValueError(msg)
        self.classifiers = dict(classifiers)
        self.batch_size = batch_size

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Answers:
        _refuse_options(kwargs)
        return self._call_with_config(lambda text: self._ask([text])[0], input, config)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Answers:
        return await asyncio.to_thread(self.invoke, input, config, **kwargs)

    @override
    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Answers]:
        _refuse_options(kwargs)
        if return_exceptions:  # one refused text must not take the others with it
            return super().batch(inputs, config, return_exceptions=True)
        return self._ask(inputs)

    @override
    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Answers]:
        return await asyncio.to_thread(self.batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _ask(self, texts: Sequence[str]) -> list[Answers]:
        checked = [check_text(text) for text in texts]
        vectors: dict[int, FloatArray] = {}  # by encoder
        replies: dict[str, list[Classification]] = {}
        for name, classifier in self.classifiers.items():
            head = classifier.head
            if not checked or not isinstance(head, ClassifierHead):
                replies[name] = classifier.batch(checked)
                continue
            key = id(head.encoder)
            if key not in vectors:
                vectors[key] = head.encoder.encode(checked, batch_size=self.batch_size)
            replies[name] = classifier.reply_from_vectors(checked, vectors[key])
        return [{name: own[place] for name, own in replies.items()} for place in range(len(checked))]


def _refuse_options(options: dict[str, Any]) -> None:
    if options:
        msg = f"a group of classifiers takes no call options, got {sorted(options)}; set them at construction"
        raise UnknownOptionError(msg)
