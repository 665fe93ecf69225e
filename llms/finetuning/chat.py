"""Conversations in, a folder with a chat model or an adapter out."""

import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llms.device import Precision
from llms.errors import TrainingDataError, UnknownOptionError
from llms.finetuning.conversations import Conversation, Conversations, read_conversations
from llms.finetuning.saving import refuse_foreign_folder, replace_folder
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import ChatManifest, save_manifest, template_fingerprint

if TYPE_CHECKING:
    from llms.finetuning.chat_training import TrainedModel

__all__ = [
    "ChatTrainingOptions",
    "Conversation",
    "Conversations",
    "TrainedChat",
    "finetune_chat",
    "read_conversations",
]

Method = Literal["full", "lora"]
# a low-rank update moves the weights less than the same step on all of them, hence a rate 25 times higher
_LEARNING_RATES: dict[Method, float] = {"full": 2e-5, "lora": 5e-4}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTrainingOptions:
    """How a chat model is trained.

    Attributes:
        base: the chat model to start from; folder or hub id.
        method: "full" trains every weight, "lora" a small adapter beside them that needs the base at run time.
        epochs: passes over the conversations.
        learning_rate: peak rate, a linear warm-up and decay lie around it; None is the method's default.
        max_tokens: a longer conversation is an error, since a cut one would teach a broken answer.
        lora_rank: size of the adapter; unused by "full".
        seed: the same seed and data give the same model on the same machine and number of threads.
    """

    base: str
    method: Method = "full"
    epochs: int = 3
    batch_size: int = 8
    learning_rate: float | None = None
    max_tokens: int = 2048
    lora_rank: int = 16
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    show_progress: bool = True

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        if self.method not in ("full", "lora"):
            msg = f"method must be 'full' or 'lora', got {self.method!r}"
            raise UnknownOptionError(msg)
        if self.precision not in ("auto", "float32", "bfloat16"):
            msg = f"precision must be auto, float32 or bfloat16, got {self.precision!r}"
            raise UnknownOptionError(msg)
        smallest = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "max_tokens": self.max_tokens - 1,
            "lora_rank": self.lora_rank,
        }
        for name, value in smallest.items():
            if value < 1:
                msg = f"{name} is too small: {getattr(self, name)}"
                raise TrainingDataError(msg)
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            msg = f"learning_rate must lie between 0 and 1, got {self.learning_rate}"
            raise TrainingDataError(msg)

    @property
    def peak_learning_rate(self) -> float:
        """The rate given, or the method's default.

        Example:
            >>> ChatTrainingOptions(base="org/name", method="lora").peak_learning_rate
            0.0005
        """
        return _LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, slots=True)
class TrainedChat:
    """Where the model lies and how the loss on its training conversations fell, epoch by epoch."""

    folder: Path
    metrics: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


def finetune_chat(conversations: Conversations, folder: Path, options: ChatTrainingOptions) -> TrainedChat:
    """Train a chat model on the assistant's turns of conversations and write a folder.

    Learnt are the assistant's texts and tool calls and the token that ends each turn; everything else is only
    read. Method "full" gives a complete model, "lora" an adapter folder for PEFT; both with the tokenizer and
    chat template of the training, so that the model is never asked in another form than it was taught.

    The folder appears complete or not at all; an existing model in its place is replaced at the end.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place.
        ModelNotFoundError: if the base is not on this machine.
        TrainingDataError: if there is no conversation, one is too long, or the chat template cannot render one
            so that it can be learnt.
    """
    refuse_foreign_folder(folder)
    if not conversations.rows:
        msg = "there is no conversation to learn from; give at least one"
        raise TrainingDataError(msg)
    from llms.finetuning.chat_training import train_chat

    base = resolve_model(options.base)
    trained = train_chat(base, conversations.rows, options)
    metrics = {"train_loss": trained.history[-1]["loss"], "num_conversations": float(len(conversations.rows))}
    _write(folder, trained, conversations, base, options, metrics)
    return TrainedChat(folder, metrics, trained.history)


def _write(
    folder: Path,
    trained: "TrainedModel",
    conversations: Conversations,
    base: Path,
    options: ChatTrainingOptions,
    metrics: dict[str, float],
) -> None:
    libraries = ("torch", "transformers", *(("peft",) if options.method == "lora" else ()))
    with replace_folder(folder) as new:
        trained.save(new)
        manifest = ChatManifest(
            base_model=options.base,
            base_fingerprint=folder_fingerprint(base),
            method=options.method,
            seed=options.seed,
            data_sha256=conversations.sha256,
            template_sha256=template_fingerprint(new),
            versions={name: importlib.metadata.version(name) for name in libraries},
            metrics=metrics,
        )
        save_manifest(manifest, new)
