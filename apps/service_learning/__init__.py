"""Learning from old support conversations: reading the logs that companies have.

Here belong the forms of logs, the cleaning of their messages, and what is set aside. How requests are grouped and
answers drafted is a matter of `chains.customer_service.learning`.
"""

from apps.service_learning.guessing import guess_layout
from apps.service_learning.layout import Layout, LogForm, SetAside
from apps.service_learning.reading import read_conversations, read_with

__all__ = ["Layout", "LogForm", "SetAside", "guess_layout", "read_conversations", "read_with"]
