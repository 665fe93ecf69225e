"""Errors of the model layer, and the root of every error this project raises.

The tree::

    TuneChainError
    ├── ModelNotFoundError (FileNotFoundError)   no such folder, or no such model in the local cache
    ├── ModelFolderError (ValueError)            the folder is there but is no usable model
    │   └── UnsafeModelError                     it holds code or weights in a format that can run code
    ├── InputTextError (ValueError)              a text no model should see (NUL, lone surrogate, too long)
    ├── ContextOverflowError (ValueError)        prompt and answer do not fit into the model's context
    ├── UnknownOptionError (TypeError)           an option that does not exist, or not at this call
    ├── DataFileError (ValueError)               a data file that cannot be used at all
    └── TrainingDataError (ValueError)           rows that can be read but not learnt from
"""

__all__ = [
    "ContextOverflowError",
    "DataFileError",
    "InputTextError",
    "ModelFolderError",
    "ModelNotFoundError",
    "TrainingDataError",
    "TuneChainError",
    "UnknownOptionError",
    "UnsafeModelError",
]


class TuneChainError(Exception):
    """Any error raised by this project on purpose; its message says what to do."""


class ModelNotFoundError(TuneChainError, FileNotFoundError):
    """A model reference that leads nowhere on this machine."""


class ModelFolderError(TuneChainError, ValueError):
    """A folder that exists but lacks a part of a model, or holds a part of another kind."""


class UnsafeModelError(ModelFolderError):
    """A model folder that could run code when it is loaded."""


class InputTextError(TuneChainError, ValueError):
    """A text refused before any model sees it."""


class ContextOverflowError(TuneChainError, ValueError):
    """A prompt that leaves no room for an answer in the model's context."""


class UnknownOptionError(TuneChainError, TypeError):
    """An option name that means nothing here; it is never ignored."""


class DataFileError(TuneChainError, ValueError):
    """A file of records that is missing, empty, or not in the form its reader needs."""


class TrainingDataError(TuneChainError, ValueError):
    """Records that can be read but do not make a training set."""
