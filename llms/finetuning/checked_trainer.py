"""Transformers' Trainer, made to resume exactly: sealed checkpoints, and batches in the same order every time."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.utils import SAFE_WEIGHTS_NAME
from typing_extensions import override

from llms.errors import TrainingDivergedError, TrainingError
from llms.finetuning.checkpoints import checkpoint_of, drop_old_checkpoints, is_valid_checkpoint, seal_checkpoint
from llms.finetuning.durable_files import writing
from llms.finetuning.length_groups import LengthGroupedSampler

__all__ = ["CheckedTrainer"]


class CheckedTrainer(Trainer):
    """A Trainer whose order of batches depends on seed and epoch alone, and whose checkpoints are sealed.

    Optimizer, schedule and random state lie in checkpoints as torch writes them, which is a form of pickle; Trainer
    opens them with torch's `weights_only`, which builds tensors and plain values and runs no code.
    """

    def __init__(self, *, lengths: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        passes = self.args.gradient_accumulation_steps * self.args.world_size
        self._order = LengthGroupedSampler(lengths, self.args.train_batch_size * passes, seed=self.args.seed)
        # Trainer takes any **tokens for a sign that the loss is divided by the items of all passes, and divides no more
        forward = inspect.signature(kwargs["model"].forward)
        self.model_accepts_loss_kwargs = "num_items_in_batch" in forward.parameters

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    @override
    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.control.should_training_stop:  # it had stopped early already when it was cut off
            return
        # accelerate does not reach a sampler that is wrapped to skip batches, and split between processes
        self._order.set_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    @override
    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            self._raise_diverged(f"the loss of step {self.state.global_step + 1} is {float(loss)}")
        return loss

    def refuse_diverged(self) -> None:
        """Raise TrainingDivergedError if a trained weight is no finite number, or no held-out score ever was one."""
        step = self.state.global_step
        for name, tensor in self._trained_weights().items():
            if not torch.isfinite(tensor).all():
                self._raise_diverged(f"after step {step} the weights {name} are no finite numbers")
        if self.args.load_best_model_at_end and step and self.state.best_global_step is None:
            self._raise_diverged(f"until step {step} the held-out {self.args.metric_for_best_model} was no number")

    def _raise_diverged(self, what: str) -> NoReturn:
        msg = (
            f"{what}, the training has diverged at learning rate {self.args.learning_rate:g}; "
            "try a tenth of it, or precision='float32'. Checkpoints before that stay"
        )
        raise TrainingDivergedError(msg)

    def _trained_weights(self) -> dict[str, torch.Tensor]:
        network = self.accelerator.unwrap_model(self.model)
        return {name: weight.detach() for name, weight in network.named_parameters() if weight.requires_grad}

    @override
    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write what is trained, and nothing of a frozen base: it is there again when training goes on."""
        self.refuse_diverged()
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.cpu().contiguous() for name, tensor in self._trained_weights().items()}
        save_file(weights, folder / SAFE_WEIGHTS_NAME)

    @override
    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Refuse weights that belong nowhere, and trained ones that are missing; frozen ones are in no checkpoint."""
        missing = sorted(self._trained_weights().keys() & set(load_result.missing_keys))
        if foreign := [*load_result.unexpected_keys, *missing]:
            msg = f"the checkpoint holds weights of another network ({foreign[0]}, ...); remove it"
            raise TrainingError(msg)

    @override
    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir or ".")
        checkpoint = checkpoint_of(folder, self.state.global_step)
        with writing(f"the checkpoint {checkpoint}"):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process has written its own random state
            if self.args.should_save:
                seal_checkpoint(checkpoint)
                drop_old_checkpoints(folder)

    @override
    def _load_best_model(self) -> None:
        best = checkpoint_of(Path(self.args.output_dir or "."), self.state.best_global_step or 0)
        if not is_valid_checkpoint(best):
            msg = (
                f"the weights that were best on the held-out rows are lost: {best} has changed since it was written. "
                "Repeat the call: it goes on from what is intact, or starts again"
            )
            raise TrainingError(msg)
        self.state.best_model_checkpoint = str(best)
        super()._load_best_model()
