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
