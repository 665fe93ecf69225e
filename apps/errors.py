"""Errors of the application layer.

The tree::

    TuneChainError
    ├── SettingsError (ValueError)              tunechain.toml or an environment variable that cannot be used
    ├── WorkspaceError (ValueError)             a workspace that is missing, incomplete, or in the way
    ├── NotBuiltError (FileNotFoundError)       a model or index that was not built yet; the message says how
    ├── MissingExtraError (ImportError)         an optional package that is not installed; the message names it
    ├── KeyFileError (OSError)                  a file of keys that cannot be read or written
    ├── BackupError (RuntimeError)              a backup that cannot be made, or one that is none
    ├── FeedbackFileError (OSError)             a file of feedback that cannot be read or written
    ├── LearningFileError (OSError)             a file of what was learnt from logs that cannot be read or written
    ├── ReviewError (ValueError)                a decision that cannot be taken about a group as it is now
    ├── UnknownGroupError (LookupError)         the id of a group that does not exist
    ├── GenerationError (OSError)               a generation of recommendation that is missing or damaged
    ├── EventFileError (OSError)                a file of events that cannot be read or written
    ├── DiskFullError (OSError)                 no room for what was sent, of which nothing was kept
    ├── DeliveryError (OSError)                 an alert that somebody could not be told of
    ├── SourceError (OSError)                   a source of posts that cannot be read now
    ├── MonitoringFileError (OSError)           a file of monitoring that cannot be read or written
    ├── UnknownAlertError (LookupError)         the id of an alert that does not exist
    └── UnknownKeyError (LookupError)           the id of a key that does not exist
"""

from llms.errors import TuneChainError


class SettingsError(TuneChainError, ValueError):
    """A setting that does not exist, or has a value it cannot have."""


class WorkspaceError(TuneChainError, ValueError):
    """A folder that is no workspace, or one that would be overwritten."""


class NotBuiltError(TuneChainError, FileNotFoundError):
    """Something that has to be trained or indexed first."""


class MissingExtraError(TuneChainError, ImportError):
    """A part of the program that needs an optional package."""


class KeyFileError(TuneChainError, OSError):
    """A file of keys that is damaged, of another kind, or not to be written."""


class FeedbackFileError(TuneChainError, OSError):
    """A file of feedback that is damaged, of another kind, or not to be written."""


class LearningFileError(TuneChainError, OSError):
    """A file of what was learnt from logs that is damaged, of another kind, or not to be written."""


class ReviewError(TuneChainError, ValueError):
    """A decision about a group that somebody decided on already, or that lacks something."""


class UnknownGroupError(TuneChainError, LookupError):
    """An id that no group has."""


class GenerationError(TuneChainError, OSError):
    """A generation of recommendation that is missing, damaged, or of another kind."""


class EventFileError(TuneChainError, OSError):
    """A file of events that is damaged, of another kind, or not to be written."""


class DiskFullError(TuneChainError, OSError):
    """A disk without room for what was sent; nothing of it is half kept."""


class MonitoringFileError(TuneChainError, OSError):
    """A file of the state of monitoring that is damaged, of another kind, or not to be written."""


class DeliveryError(TuneChainError, OSError):
    """A message about an alert that was not taken over; it is tried again."""


class SourceError(TuneChainError, OSError):
    """A source of posts that cannot be read now; it is tried again."""


class BackupError(TuneChainError, RuntimeError):
    """A backup that cannot be made or restored; nothing of it is half there."""


class UnknownKeyError(TuneChainError, LookupError):
    """An id that no key has."""


class UnknownAlertError(TuneChainError, LookupError):
    """An id that no alert has."""
