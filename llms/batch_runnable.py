"""Runnables from one text to one result that take many texts in one pass of a model."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar, get_args

from langchain_core.runnables import Runnable, RunnableConfig
from typing_extensions import override

from llms.errors import UnknownOptionError
from llms.texts.checks import check_text

Result = TypeVar("Result")


class BatchRunnable(Runnable[str, Result]):
    """A runnable whose `batch` is one call; `max_concurrency` has no meaning for it.

    Subclasses write `_batch`, and set `_kind` to what they are called in messages.
    """

    _kind: ClassVar[str]

    @abstractmethod
    def _batch(self, texts: Sequence[str]) -> list[Result]:
        """Return the result of each text; there is at least one, and all are checked."""

    def _one(self, text: str) -> Result:
        """Return the result of one checked text."""
        return self._batch([text])[0]

    @property
    @override
    def InputType(self) -> type[str]:
        return str

    @property
    @override
    def OutputType(self) -> Any:
        # LangChain looks for two arguments of the generic class, and here is one
        return get_args(type(self).__orig_bases__[0])[0]  # type: ignore[attr-defined]

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Result:
        self._refuse_options(kwargs)
        return self._call_with_config(lambda text: self._one(check_text(text)), input, config)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Result:
        return await asyncio.to_thread(self.invoke, input, config, **kwargs)

    @override
    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Result]:
        self._refuse_options(kwargs)
        if return_exceptions:  # one refused text must not take the others with it
            return super().batch(inputs, config, return_exceptions=True)
        checked = [check_text(text) for text in inputs]
        return self._batch(checked) if checked else []

    @override
    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Result]:
        return await asyncio.to_thread(self.batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _refuse_options(self, options: dict[str, Any]) -> None:
        if options:
            msg = f"{self._kind} takes no call options, got {sorted(options)}; set them at construction"
            raise UnknownOptionError(msg)
