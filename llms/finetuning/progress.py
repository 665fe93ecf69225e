"""How far a training is, for people who watch."""

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

__all__ = ["ProgressBar"]


class ProgressBar(TrainerCallback):
    """Steps done, and the latest loss or held-out accuracy, on standard error."""

    def __init__(self, *, enabled: bool) -> None:
        self.bar = tqdm(desc="training", unit="step", disable=not enabled)

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.reset(total=state.max_steps)

    @override
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bar.update()

    @override
    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if "loss" in kwargs.get("logs", {}):
            self.bar.set_postfix(loss=f"{kwargs['logs']['loss']:.4f}")

    @override
    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bar.set_postfix(held_out_accuracy=f"{kwargs['metrics']['eval_accuracy']:.3f}")

    @override
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.close()
