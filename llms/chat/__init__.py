"""Chat and text models: messages to token ids, and token ids to messages.

Read in this order: `chat_model`, `calls`, `template`, `generation`, `answers`, `messages`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.chat.chat_model import LocalChatModel
    from llms.chat.text_model import LocalLLM

__all__ = [
    "LocalChatModel",
    "LocalLLM",
]

__getattr__ = lazy_names(
    __name__,
    {"chat_model": ["LocalChatModel"], "text_model": ["LocalLLM"]},
)
