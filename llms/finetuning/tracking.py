"""Where losses and scores go while a training runs: TensorBoard's files, or Weights & Biases."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from llms.finetuning.processes import is_main_process

if TYPE_CHECKING:
    from llms.finetuning.training_options import TrainingOptions

__all__ = ["tracking_callbacks"]


@contextlib.contextmanager
def tracking_callbacks(
    options: "TrainingOptions", default_folder: Path, *, done_steps: int
) -> Iterator[list[TrainerCallback]]:
    """Yield Trainer's callback for the chosen tracker, or none; afterwards everything logged is in the files.

    Args:
        default_folder: where TensorBoard's files lie unless the options say so.
        done_steps: after which training goes on; what an earlier run logged of later steps is not shown any more.
    """
    if options.track == "none":
        yield []
        return
    if options.track == "wandb":
        from transformers.integrations.integration_utils import WandbCallback

        yield [WandbCallback()]  # type: ignore[no-untyped-call]
    elif is_main_process():
        yield from _tensorboard(options.logs or default_folder, done_steps)
    else:
        yield []


def _tensorboard(folder: Path, done_steps: int) -> Iterator[list[TrainerCallback]]:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    writer = SummaryWriter(str(folder), purge_step=done_steps + 1 if done_steps else 0)
    try:
        yield [TensorBoardCallback(writer)]  # type: ignore[no-untyped-call]
    finally:
        with contextlib.suppress(OSError):  # only of a training that broke off already: its end closes the files, too
            writer.close()
