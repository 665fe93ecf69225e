"""Errors of the use cases.

The tree::

    TuneChainError
    ├── ChainInputError (ValueError)             an input or a component a chain cannot work with
    │   ├── MessageIdError                       an id that was used for another message
    │   └── UnknownItemError                     no item of this id
    ├── UnknownConversationError (LookupError)   no such conversation, or another owner's
    ├── NoPersonAwaitedError (RuntimeError)      an answer of staff where none is asked for
    ├── ReplyAbandonedError (RuntimeError)       nobody wants the reply any more; sent again, the message is finished
    ├── ConversationBusyError (RuntimeError)     too much waits already, or another process has the conversations
    └── ConversationStorageError (OSError)       the disk is full, or the database does not answer
"""

from llms.errors import TuneChainError

__all__ = [
    "ChainInputError",
    "ConversationBusyError",
    "ConversationStorageError",
    "MessageIdError",
    "NoPersonAwaitedError",
    "ReplyAbandonedError",
    "UnknownConversationError",
    "UnknownItemError",
]


class ChainInputError(TuneChainError, ValueError):
    """An input, or the answer of a component, that does not fit the chain."""


class MessageIdError(ChainInputError):
    """A message under an id that another message has already; a message sent again must be the same."""


class UnknownConversationError(TuneChainError, LookupError):
    """A conversation that this owner does not have; whether somebody else has it is not told."""


class NoPersonAwaitedError(TuneChainError, RuntimeError):
    """An answer of staff in a conversation that the assistant answers."""


class ReplyAbandonedError(TuneChainError, RuntimeError):
    """A reply that was broken off because nobody wants it any more; its message is finished when it is sent again."""


class ConversationBusyError(TuneChainError, RuntimeError):
    """A message refused at once, before anything was stored; try again later."""


class ConversationStorageError(TuneChainError, OSError):
    """A message or a question that the storage of conversations refused; what was acknowledged is intact."""


class UnknownItemError(ChainInputError):
    """There is no item of this id, or there is none any more."""
