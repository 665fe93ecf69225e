"""Task `chat`: conversations to a chat model, and its loss on the assistant's words before and after."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from apps.tasks.task import REPORT_SHARE, DataOptions, Figures, FinetuningTask, check_texts
from llms import resolve_model
from llms.errors import TrainingDataError
from llms.finetuning import ChatTrainingOptions, finetune_chat, read_conversations
from llms.finetuning.chat import ChatLoss, measure_conversations
from llms.finetuning.data import Conversation, Conversations, DataReport, draw
from llms.finetuning.trainer import TrainedModel
from llms.manifest import ChatManifest, load_chat_manifest

_FEWEST_TO_KEEP_APART = 5  # a fifth of fewer is not one conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatData(DataOptions):
    """Where the conversations lie."""


class ChatTask(FinetuningTask[ChatData, Conversations, ChatTrainingOptions]):
    """What the assistant says next."""

    name = "chat"
    data_kind = ChatData
    options_kind = ChatTrainingOptions
    manifest_kind = ChatManifest

    @override
    def read(self, path: Path, data: ChatData) -> Conversations:
        return read_conversations(path)

    @override
    def check(self, train: Conversations, test: Conversations | None) -> DataReport:
        return check_texts(
            [(_as_text(row), ()) for row in train.rows],
            [(_as_text(row), ()) for row in test.rows] if test else None,
            rejected=(train.rejected, test.rejected if test else ()),
            error=None,
        )

    @override
    def keep_apart(
        self, rows: Conversations, options: ChatTrainingOptions
    ) -> tuple[Conversations, Conversations | None]:
        if len(rows.rows) < _FEWEST_TO_KEEP_APART:
            return rows, None
        order = sorted(rows.rows, key=lambda row: draw(options.seed, _as_text(row)))
        apart = {id(row) for row in order[: int(REPORT_SHARE * len(order))]}
        train, test = ([row for row in rows.rows if (id(row) in apart) == side] for side in (False, True))
        return Conversations(train, rows.rejected), Conversations(test)

    @override
    def finetune(self, train: Conversations, folder: Path, options: ChatTrainingOptions) -> TrainedModel:
        return finetune_chat(train, folder, options)

    @override
    def count_held_out(self, train: Conversations, options: ChatTrainingOptions, trained: TrainedModel) -> int:
        return int(trained.metrics.get("num_held_out", 0))

    @override
    def measure(self, folder: Path, train: Conversations, test: Conversations, options: ChatTrainingOptions) -> Figures:
        base = resolve_model(options.base)
        is_adapter = load_chat_manifest(folder).adapter
        before = measure_conversations(test.rows, base, device=options.device)
        if is_adapter:
            after = measure_conversations(test.rows, base, adapter=folder, device=options.device)
        else:
            after = measure_conversations(test.rows, folder, device=options.device)
        notes = []
        if after.num_too_long:
            notes.append(
                f"test conversations longer than the model's context: {after.num_too_long} of {len(test.rows)}; they "
                "are left out of the figures"
            )
        return Figures(metrics=_figures(after), baselines={"the base model": _figures(before)}, notes=notes)


def _figures(loss: ChatLoss) -> dict[str, float]:
    if not loss.num_tokens:
        msg = (
            "none of the test conversations fits into the model's context, so there is nothing to measure; shorten them"
        )
        raise TrainingDataError(msg)
    return {"loss": loss.per_token, "perplexity": math.exp(min(loss.per_token, 700.0))}  # beyond it, no float


def _as_text(conversation: Conversation) -> str:
    return "\n".join(_words_of(conversation.messages))


def _words_of(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [str(message.get("content") or message.get("tool_calls") or "") for message in messages]
