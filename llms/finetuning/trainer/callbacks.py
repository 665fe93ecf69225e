"""Callbacks of the training loop: rank allocation, logging, early stopping, progress and tracking."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from llms.finetuning.trainer.checkpoints import checkpoint_of
from llms.finetuning.trainer.files import is_main_process

if TYPE_CHECKING:
    from llms.finetuning.trainer.options import TrainingOptions

_HIDDEN = ("_runtime", "_per_second", "_loss")


class RankAllocation(TrainerCallback):
    """Lets adalora move its ranks after each step; nothing for other methods."""

    @override
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for module in kwargs["model"].modules():
            if type(module).__name__ == "AdaLoraModel":
                module.update_and_allocate(state.global_step + 1)


class LossAtCheckpoints(TrainerCallback):
    """Logs the loss before each checkpoint, which does not hold the sum of the losses not logged yet."""

    @override
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        control.should_log |= control.should_save or control.should_evaluate

    @override
    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_log |= control.should_save or control.should_evaluate


class EarlyStopping(EarlyStoppingCallback):
    """Counts evaluations without improvement, and goes on counting where a checkpoint left off."""

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call]
        saved: Any = state.stateful_callbacks  # as it was given: a list; here a mapping of names
        counted = saved[type(self).__name__]["attributes"]["early_stopping_patience_counter"]
        self.early_stopping_patience_counter = counted
        control.should_training_stop = counted >= self.early_stopping_patience
        if state.best_global_step is not None:  # the folder may have been moved since
            best = checkpoint_of(Path(args.output_dir or "."), state.best_global_step)
            state.best_model_checkpoint = str(best)


class ProgressBar(TrainerCallback):
    """Steps done and time left, the latest loss and the latest score on the held-out rows, on standard error."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.bar = tqdm(disable=True)
        self.shown: dict[str, str] = {}

    def close(self) -> None:
        """Leave the cursor on a line of its own; to be called however training ends."""
        self.bar.close()

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar = tqdm(
            desc="training",
            unit="step",
            total=state.max_steps,
            initial=state.global_step,  # a resumed run has done these already; they must not make it look fast
            disable=not (self.enabled and state.is_world_process_zero),
        )

    @override
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bar.update()

    @override
    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if "loss" in kwargs.get("logs", {}):
            self._show(loss=f"{float(kwargs['logs']['loss']):.4f}")

    @override
    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        scores = {name.removeprefix("eval_"): value for name, value in kwargs["metrics"].items() if name != "epoch"}
        self._show(**{name: f"{value:.3f}" for name, value in scores.items() if not f"_{name}".endswith(_HIDDEN)})

    def _show(self, **figures: str) -> None:
        self.shown |= figures
        self.bar.set_postfix(self.shown)


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
