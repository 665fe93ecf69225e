"""Training of chat models on the assistant's turns of conversations."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.chat.evaluation import ChatLoss, measure_conversations
    from llms.finetuning.chat.finetune import TrainedChat, finetune_chat
    from llms.finetuning.chat.options import ChatTrainingOptions

__all__ = [
    "ChatLoss",
    "ChatTrainingOptions",
    "TrainedChat",
    "finetune_chat",
    "measure_conversations",
]

__getattr__ = lazy_names(
    __name__,
    {
        "evaluation": ["ChatLoss", "measure_conversations"],
        "finetune": ["TrainedChat", "finetune_chat"],
        "options": ["ChatTrainingOptions"],
    },
)
