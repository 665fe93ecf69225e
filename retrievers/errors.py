"""Errors of the retrieval layer.

The tree::

    TuneChainError
    ├── StoreMismatchError (ValueError)   the store was built with another model, dimension or version
    ├── StoreFolderError (ValueError)     the folder is no store, or cannot be read or written
    ├── FilterError (ValueError)          a metadata filter that has no meaning
    ├── VectorError (ValueError)          vectors of the wrong size, or with NaN or infinity
    └── DocumentError (ValueError)        a file that cannot be read as a document
"""

from llms.errors import TuneChainError

__all__ = ["DocumentError", "FilterError", "StoreFolderError", "StoreMismatchError", "VectorError"]


class StoreMismatchError(TuneChainError, ValueError):
    """A store that was built with something else than what it is opened with; the message names both."""


class StoreFolderError(TuneChainError, ValueError):
    """A folder that holds no store, or a damaged one."""


class FilterError(TuneChainError, ValueError):
    """A metadata filter with an unknown operator or a value that cannot be compared."""


class VectorError(TuneChainError, ValueError):
    """Vectors that no index should hold."""


class DocumentError(TuneChainError, ValueError):
    """A file that cannot become a document."""
