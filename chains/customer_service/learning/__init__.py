"""Intents and approved answers learnt from logged conversations, for a person to review.

Here belongs what a logged conversation is, which of its messages ask and which answer, and how requests that ask for
the same are found and drafted. Files are read, and what a person decides is kept, above.
"""

from chains.customer_service.learning.conversations import LoggedConversation, LoggedMessage, LoggedRole
from chains.customer_service.learning.courtesies import without_courtesies
from chains.customer_service.learning.requests import LoggedRequest, find_request

__all__ = [
    "LoggedConversation",
    "LoggedMessage",
    "LoggedRequest",
    "LoggedRole",
    "find_request",
    "without_courtesies",
]
