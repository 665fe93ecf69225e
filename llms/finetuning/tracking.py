"""Where losses and scores go while a training runs: TensorBoard's files, or Weights & Biases."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from llms.errors import UnsupportedOptionError

if TYPE_CHECKING:
    from llms.finetuning.training_options import TrainingOptions

__all__ = ["tracking_callbacks"]


def tracking_callbacks(options: "TrainingOptions", default_folder: Path) -> list[TrainerCallback]:
    """Return Trainer's callback for the chosen tracker, or none.

    Raises:
        UnsupportedOptionError: if the tracker's library is not installed.
    """
    if options.track == "none":
        return []
    if importlib.util.find_spec(options.track) is None:
        msg = f"track={options.track!r} needs the library {options.track}, which is not installed; or set track='none'"
        raise UnsupportedOptionError(msg)
    if options.track == "wandb":
        from transformers.integrations.integration_utils import WandbCallback

        return [WandbCallback()]  # type: ignore[no-untyped-call]
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    writer = SummaryWriter(str(options.logs or default_folder))
    return [TensorBoardCallback(writer)]  # type: ignore[no-untyped-call]
