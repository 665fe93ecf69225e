"""`finetune_chat`: conversations in, a folder with a chat model or an adapter out."""

from pathlib import Path
from typing import TYPE_CHECKING

from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.chat.options import ChatTrainingOptions
from llms.finetuning.data.conversations import Conversations
from llms.finetuning.trainer.adapted_models import keeps_adapter, manifest_fields
from llms.finetuning.trainer.checkpoints import discard_checkpoints
from llms.finetuning.trainer.saving import TrainedModel, alone_in_folder, replace_folder
from llms.loading import folder_fingerprint, resolve_model
from llms.manifest import ChatManifest, save_manifest, template_fingerprint

if TYPE_CHECKING:
    from llms.finetuning.chat.training import TrainedNetwork


TrainedChat = TrainedModel
"""The outcome of `finetune_chat`; its figures are the last losses."""


@alone_in_folder
def finetune_chat(conversations: Conversations, folder: Path, options: ChatTrainingOptions) -> TrainedChat:
    """Train a chat model on the assistant's turns of conversations and write a folder.

    Learnt are the assistant's texts and tool calls and the token that ends each turn; everything else is only
    read. The folder is a complete model, into which what the method added is merged; with `keep_adapter`, and always
    for "prefix", it is an adapter folder for PEFT. Either holds the tokenizer and chat template of the training, so
    that the model is never asked in another form than it was taught.

    The folder appears complete or not at all; an existing model in its place is replaced at the end. Repeated after
    a kill, the call goes on from the newest checkpoint.

    Raises:
        ModelFolderError: before any work, if something that is no model lies in the folder's place, or the base is
            no causal language model with a chat template.
        ModelNotFoundError: if the base is not on this machine.
        TrainingDataError: if there is no conversation, one is too long, or the chat template cannot render one
            so that it can be learnt.
        UnsupportedOptionError: if the base cannot keep packed conversations apart, or the method does not know it.
        TrainingError: if training breaks off; its checkpoints stay.
    """
    if not conversations.rows:
        msg = "there is no conversation to learn from; give at least one"
        raise TrainingDataError(msg)
    from llms.finetuning.chat.training import train_chat

    base = resolve_model(options.base)
    if base.resolve() == folder.resolve() and keeps_adapter(options):
        msg = f"{folder} is the base itself, which an adapter needs at run time; name another folder for the adapter"
        raise ModelFolderError(msg)
    # read before training: the trained model may take its base's place
    fingerprint = folder_fingerprint(base)
    trained = train_chat(
        base, conversations.rows, options, folder=folder, fingerprint=f"{fingerprint} {conversations.sha256}"
    )
    metrics = {
        "train_loss": next(row["loss"] for row in reversed(trained.history) if "loss" in row),
        **({"held_out_loss": trained.best_held_out_loss} if trained.best_held_out_loss is not None else {}),
        "num_conversations": float(len(conversations.rows)),
        "num_held_out": float(trained.num_held_out),
    }
    _write(folder, trained, conversations, fingerprint, options, metrics)
    discard_checkpoints(folder)
    return TrainedChat(folder, metrics, trained.history)


def _write(
    folder: Path,
    trained: "TrainedNetwork",
    conversations: Conversations,
    base_fingerprint: str,
    options: ChatTrainingOptions,
    metrics: dict[str, float],
) -> None:
    with replace_folder(folder) as new:
        trained.save(new)
        manifest = ChatManifest(
            template_sha256=template_fingerprint(new),
            reference_output=trained.reference_output,
            **manifest_fields(
                options,
                base_fingerprint=base_fingerprint,
                data_sha256=conversations.sha256,
                max_tokens=options.max_tokens,
                parameters=trained.parameters,
                libraries=("torch", "transformers", *(("peft",) if options.method != "full" else ())),
                metrics=metrics,
            ),
        )
        save_manifest(manifest, new)
