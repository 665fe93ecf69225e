"""Learning from old support conversations: the logs that companies have, what was found in them, and its review.

Here belong the forms of logs, the cleaning of their messages, and what is set aside; the state of a run; decisions of
people, and how they reach the records. How requests are grouped and answers drafted is a matter of
`chains.customer_service.learning`.
"""

from apps.service_learning.guessing import guess_layout
from apps.service_learning.layout import Layout, LogForm, SetAside
from apps.service_learning.reading import read_conversations, read_with

__all__ = ["Layout", "LogForm", "SetAside", "guess_layout", "read_conversations", "read_with"]
