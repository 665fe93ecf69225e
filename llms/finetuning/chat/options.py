"""Options of training a chat model."""

from dataclasses import dataclass
from typing import ClassVar

from llms.errors import OptionValueError, UnsupportedOptionError
from llms.finetuning.trainer.methods import Method
from llms.finetuning.trainer.options import TrainingOptions

_NOT_OFFERED = {
    "head": "the last layer only chooses words, it cannot learn what to say",
    "adapter": "the engines that run chat models attach PEFT's adapters only, and a bottleneck cannot be merged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTrainingOptions(TrainingOptions):
    """How a chat model is trained; what is common to all tasks stands in `TrainingOptions`.

    Attributes:
        base: the chat model to start from; folder or hub id. There is no default.
        keep_adapter: write an adapter folder for `LocalChatModel(adapters=...)` instead of a complete model.
        epochs: passes over the conversations at most.
        batch_size: conversations per step of the optimizer, or rows of several with `packing`.
        held_out_share: share of the conversations kept apart for stopping; of fewer than 20, or where the share is
            less than one conversation, none is, and training runs all epochs.
        max_tokens: a longer conversation is an error, since a cut one would teach a broken answer.
        packing: put short conversations into one row of up to `max_tokens`, where none sees another, so that nothing
            is computed on padding.

    Example:
        >>> ChatTrainingOptions(base="org/name", method="head")
        Traceback (most recent call last):
        llms.errors.UnsupportedOptionError: chat models are not trained by method 'head': the last layer only chooses \
words, it cannot learn what to say; take full, lora, dora, adalora, ia3, prefix
    """

    full_learning_rate: ClassVar[float] = 2e-5
    methods: ClassVar[tuple[Method, ...]] = ("full", "lora", "dora", "adalora", "ia3", "prefix")

    base: str = ""
    epochs: int = 3
    batch_size: int = 8
    max_tokens: int = 2048
    packing: bool = False

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        if reason := _NOT_OFFERED.get(self.method):
            msg = f"chat models are not trained by method {self.method!r}: {reason}; take {', '.join(self.methods)}"
            raise UnsupportedOptionError(msg)
        TrainingOptions.__post_init__(self)
        if not self.base:
            msg = "base is missing; name the chat model to start from, a folder or a hub id like 'org/name'"
            raise OptionValueError(msg)
        if self.packing and self.method == "prefix":
            msg = "packing restarts positions within a row, which a learnt prefix does not take; set packing=False"
            raise UnsupportedOptionError(msg)
