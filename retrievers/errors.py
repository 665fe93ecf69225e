"""Errors of the retrieval layer.

The tree::

    TuneChainError
    ├── StoreMismatchError (ValueError)    the store was built with another model, metric, dimension or version
    ├── NamespaceError (ValueError)        no namespace where one is needed, or one that cannot be
    ├── StoreFolderError (ValueError)      the folder is no store, or cannot be read or written
    │   ├── StoreBusyError                 another writer holds the store
    │   ├── StoreDamagedError              what lies there is not what was written
    │   ├── StoreFullError                 the disk took no more; what was there before is intact
    │   └── OldStoreError                  files of another library's store that cannot be read as that
    │       └── UnsafePickleError          a pickle that names more than documents; nothing of it was run
    ├── FilterError (ValueError)           a metadata filter that has no meaning
    ├── SearchArgumentError (ValueError)   a search or call with arguments that mean nothing, such as k = 0
    ├── VectorError (ValueError)           vectors of the wrong size, or with NaN or infinity
    ├── ThresholdError (ValueError)        labelled questions that cannot support a threshold
    └── DocumentError (ValueError)         a file that cannot be read as a document
        └── NoTextError                    one without any text: empty, or pictures of text
"""

from llms.errors import TuneChainError

__all__ = [
    "DocumentError",
    "FilterError",
    "NamespaceError",
    "NoTextError",
    "OldStoreError",
    "SearchArgumentError",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreFolderError",
    "StoreFullError",
    "StoreMismatchError",
    "ThresholdError",
    "VectorError",
]


class StoreMismatchError(TuneChainError, ValueError):
    """A store that was built with something else than what it is opened with; the message names both."""


class NamespaceError(TuneChainError, ValueError):
    """A namespace that is missing, cannot be a name, or is asked of a store without namespaces."""


class StoreFolderError(TuneChainError, ValueError):
    """A folder that holds no store, or cannot be read or written."""


class StoreBusyError(StoreFolderError):
    """A store that another process, or another object of this one, is writing to."""


class StoreDamagedError(StoreFolderError):
    """A store whose bytes are not those that were written."""


class StoreFullError(StoreFolderError):
    """A disk that took no more; the write was taken back whole."""


class OldStoreError(StoreFolderError):
    """An old store whose files cannot be read as what they should be."""


class UnsafePickleError(OldStoreError):
    """A pickle that asks for more than documents; the message names what, and nothing was run."""


class FilterError(TuneChainError, ValueError):
    """A metadata filter with an unknown operator or a value that cannot be compared."""


class SearchArgumentError(TuneChainError, ValueError):
    """An argument of a search that no store can honour, such as a number of documents below one."""


class VectorError(TuneChainError, ValueError):
    """Vectors that no index should hold."""


class ThresholdError(TuneChainError, ValueError):
    """Labelled questions from which no threshold can be read; the message says what is missing."""


class DocumentError(TuneChainError, ValueError):
    """A file that cannot become a document."""


class NoTextError(DocumentError):
    """A file without any text: it is empty, or holds pictures of text; the message says which."""
