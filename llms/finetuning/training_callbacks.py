"""What happens at certain steps of a training: ranks move, losses are logged, and it stops when nothing improves."""

from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from llms.finetuning.checkpoints import checkpoint_of

__all__ = ["EarlyStopping", "LossAtCheckpoints", "RankAllocation"]


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
