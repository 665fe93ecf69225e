"""The training loop of all tasks, on transformers' Trainer: options, methods, checkpoints, model folders.

Read in this order: `options`, `methods`, `trainer`, `callbacks`, `checkpoints`, `saving`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.trainer.files import is_main_process, write_text
    from llms.finetuning.trainer.options import TrainingOptions
    from llms.finetuning.trainer.saving import TrainedModel, refuse_foreign_folder, replace_folder

__all__ = [
    "TrainedModel",
    "TrainingOptions",
    "is_main_process",
    "refuse_foreign_folder",
    "replace_folder",
    "write_text",
]

__getattr__ = lazy_names(
    __name__,
    {
        "files": ["is_main_process", "write_text"],
        "options": ["TrainingOptions"],
        "saving": ["TrainedModel", "refuse_foreign_folder", "replace_folder"],
    },
)
