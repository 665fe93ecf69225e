"""How far a training is, for people who watch."""

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

__all__ = ["ProgressBar"]

_HIDDEN = ("_runtime", "_per_second", "_loss")


class ProgressBar(TrainerCallback):
    """Steps done and time left, the latest loss and the latest score on the held-out rows, on standard error."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.bar = tqdm(desc="training", unit="step", disable=not enabled)
        self.shown: dict[str, str] = {}

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.disable = not (self.enabled and state.is_world_process_zero)
        self.bar.reset(total=state.max_steps)
        self.bar.initial = state.global_step  # a resumed run has done these already; they must not make it look fast
        self.bar.n = state.global_step

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

    @override
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.close()

    def _show(self, **figures: str) -> None:
        self.shown |= figures
        self.bar.set_postfix(self.shown)
