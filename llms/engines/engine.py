"""The interface between models and the libraries that run them."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from llms.options import GenerationOptions

__all__ = ["Engine"]


class Engine(Protocol):
    """Token ids in, token ids out; text never crosses this border, so nothing is tokenised twice."""

    context_tokens: int

    def generate(self, prompt_ids: Sequence[int], options: GenerationOptions) -> Iterator[int]:
        """Yield the answer's token ids, the end token not included.

        Closing the iterator stops the work before the next token. Stop texts are the caller's concern.
        """
