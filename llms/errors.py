"""Errors of the model layer, and the root of every error this project raises.

The tree::

    TuneChainError
    ├── ModelNotFoundError (FileNotFoundError)   no such folder, or no such model in the local cache
    ├── ModelFolderError (ValueError)            the folder is there but is no usable model
    │   └── UnsafeModelError                     it holds code or weights in a format that can run code
    ├── ModelFileError (ValueError)              a file that is no model, is cut off, or of a kind not offered
    ├── ModelFetchError (OSError)                a published model that could not be fetched; nothing is half there
    ├── InputTextError (ValueError)              a text no model should see (NUL, lone surrogate, too long)
    ├── StrictJsonError (ValueError)             JSON that programs read differently
    ├── ContextOverflowError (ValueError)        prompt and answer do not fit into the model's context
    ├── UnknownOptionError (TypeError)           an option that does not exist, or not at this call
    ├── OptionValueError (ValueError)            an option with a value that no model can honour
    │   └── ConstraintError                      a schema, pattern or list of choices no text can satisfy
    ├── UnsupportedOptionError (ValueError)      an option that this engine or this model does not offer
    ├── EngineError (RuntimeError)               an engine that could not be made, or broke at work
    │   ├── EngineBusyError                      too many requests wait already; nothing was started
    │   ├── EngineStoppedError                   its process ended and is being started again
    │   ├── ModelMemoryError (MemoryError)       a model that does not fit into free memory; nothing was loaded
    │   └── GenerationTimeoutError (TimeoutError)  the answer took longer than its `timeout`
    ├── ByteStoreError (OSError)                 a file of stored bytes that cannot be read or written
    ├── DataFileError (ValueError)               a data file that cannot be used at all
    │   └── TextEncodingError                    bytes that are no text in an encoding that is read
    ├── TrainingDataError (ValueError)           rows that can be read but not learnt from
    └── TrainingError (RuntimeError)             a training that could not go on; earlier checkpoints are intact
        ├── TrainingDivergedError                the loss became infinite or no number
        └── TrainingSaveError (OSError)          a checkpoint or model that could not be written
"""

from typing import Literal, TypeAlias

__all__ = [
    "ByteStoreError",
    "ConstraintError",
    "ContextOverflowError",
    "DataFileError",
    "EngineBusyError",
    "EngineError",
    "EngineStoppedError",
    "GenerationTimeoutError",
    "InputTextError",
    "JsonFault",
    "ModelFetchError",
    "ModelFileError",
    "ModelFolderError",
    "ModelMemoryError",
    "ModelNotFoundError",
    "OptionValueError",
    "StrictJsonError",
    "TextEncodingError",
    "TrainingDataError",
    "TrainingDivergedError",
    "TrainingError",
    "TrainingSaveError",
    "TuneChainError",
    "UnknownOptionError",
    "UnsafeModelError",
    "UnsupportedOptionError",
]


class TuneChainError(Exception):
    """Any error raised by this project on purpose; its message says what to do."""


class ModelNotFoundError(TuneChainError, FileNotFoundError):
    """A model reference that leads nowhere on this machine."""


class ModelFolderError(TuneChainError, ValueError):
    """A folder that exists but lacks a part of a model, or holds a part of another kind."""


class UnsafeModelError(ModelFolderError):
    """A model folder that could run code when it is loaded."""


class ModelFileError(TuneChainError, ValueError):
    """A file that cannot be turned into a model."""


class ModelFetchError(TuneChainError, OSError):
    """A published model that could not be fetched from the hub or the package index."""


class InputTextError(TuneChainError, ValueError):
    """A text refused before any model sees it."""


JsonFault: TypeAlias = Literal["constant", "key", "number"]
"""NaN or infinity; a key given twice; a number beyond all bounds."""


class StrictJsonError(TuneChainError, ValueError):
    """JSON that programs read differently.

    Attributes:
        fault: which rule was broken, for messages that must not repeat what was read.
    """

    def __init__(self, message: str, *, fault: JsonFault) -> None:
        super().__init__(message)
        self.fault: JsonFault = fault


class ContextOverflowError(TuneChainError, ValueError):
    """A prompt that leaves no room for an answer in the model's context."""


class UnknownOptionError(TuneChainError, TypeError):
    """An option name that means nothing here; it is never ignored."""


class OptionValueError(TuneChainError, ValueError):
    """A known option with a value that cannot be honoured."""


class ConstraintError(OptionValueError):
    """A schema, pattern or list of choices that is malformed, or that no answer can satisfy."""


class UnsupportedOptionError(TuneChainError, ValueError):
    """An option that exists, but not with this engine or this model."""


class EngineError(TuneChainError, RuntimeError):
    """An engine that could not be made for a model, or that broke while it worked."""


class EngineBusyError(EngineError):
    """A request refused at once because too many are waiting; try again later."""


class EngineStoppedError(EngineError):
    """A request to a model whose process ended, and which is being loaded again; try again later."""


class ModelMemoryError(EngineError, MemoryError):
    """A model refused before anything of it is loaded, since it would not fit into free memory."""


class GenerationTimeoutError(EngineError, TimeoutError):
    """An answer that was not complete in time; what there was of it is dropped."""


class ByteStoreError(TuneChainError, OSError):
    """A store of bytes whose file is of another kind, damaged, locked for too long, or out of room."""


class DataFileError(TuneChainError, ValueError):
    """A file of records that is missing, empty, or not in the form its reader needs."""


class TextEncodingError(DataFileError):
    """Bytes that are no text in UTF-8 or in what their mark or their file declares; none is guessed."""


class TrainingDataError(TuneChainError, ValueError):
    """Records that can be read but do not make a training set."""


class TrainingError(TuneChainError, RuntimeError):
    """A training that broke off; the newest checkpoint before that is kept, and a later run goes on from it."""


class TrainingDivergedError(TrainingError):
    """A training whose loss is no longer a finite number."""


class TrainingSaveError(TrainingError, OSError):
    """A checkpoint or model that could not be written, for instance on a full disk."""
