"""Errors of the use cases.

The tree::

    TuneChainError
    └── ChainInputError (ValueError)   an input or a component a chain cannot work with
"""

from llms.errors import TuneChainError

__all__ = ["ChainInputError"]


class ChainInputError(TuneChainError, ValueError):
    """An input, or the answer of a component, that does not fit the chain."""
