"""The one training loop of every task, on transformers' Trainer: grouped by length, stopped early, resumable."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import SAFE_WEIGHTS_NAME
from typing_extensions import override

from llms.device import choose_device, wants_bfloat16
from llms.errors import TrainingDivergedError, TrainingError, TrainingSaveError
from llms.finetuning.checkpoints import checkpoint_folder, prepare_checkpoints, seal_checkpoint
from llms.finetuning.methods import METHODS
from llms.finetuning.progress import ProgressBar
from llms.finetuning.tracking import tracking_callbacks

if TYPE_CHECKING:
    from llms.finetuning.training_options import TrainingOptions

__all__ = ["TrainingRun", "num_training_steps", "run_training", "training_fingerprint"]

_GROUP_BATCHES = 50  # batches within which examples are sorted by length: order stays random above that
# how a run is watched or cut into passes does not change what is learnt
_NOT_LEARNT_FROM = ("show_progress", "logs", "track", "resume")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What is trained on what, and what counts as better.

    Attributes:
        network: its forward pass takes a collated batch as keyword arguments and returns a mapping with "loss" and,
            where `measure` is given, "logits".
        train: examples; `collate` makes a batch of several.
        held_out: examples that decide which weights are kept and when to stop; empty for none.
        lengths: tokens of each training example, so that short ones are not padded to long ones.
        measure: held-out predictions to figures; None where the loss is all there is.
        metric: the figure that decides, "loss" or a key of `measure`'s.
        fingerprint: what this training is; see `training_fingerprint`.
    """

    network: nn.Module
    train: Sequence[Any]
    held_out: Sequence[Any]
    collate: Callable[[list[Any]], Mapping[str, Any]]
    lengths: Sequence[int]
    fingerprint: str
    measure: Callable[[EvalPrediction], dict[str, float]] | None = None
    metric: str = "loss"
    trainer_arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


def training_fingerprint(options: "TrainingOptions", *data: str) -> str:
    """Return a hash of all that decides what is learnt; checkpoints are only resumed by the same training."""
    settings = {name: value for name, value in dataclasses.asdict(options).items() if name not in _NOT_LEARNT_FROM}
    text = json.dumps([settings, torch.__version__, *data], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def num_training_steps(options: "TrainingOptions", num_examples: int) -> int:
    """Return how often the optimizer steps if training is not stopped early."""
    return options.epochs * math.ceil(num_examples / options.batch_size)


def run_training(run: TrainingRun, options: "TrainingOptions", folder: Path) -> list[dict[str, float]]:
    """Train `run.network` in place and return its history: a row for each time the held-out rows were looked at.

    The network ends with the weights that were best on the held-out rows. Checkpoints lie in `checkpoint_folder`
    beside the model's `folder`; a run that was cut off goes on from the newest valid one. They stay until
    `discard_checkpoints`, which is called once the model is saved.

    Raises:
        TrainingDivergedError: if the loss is no finite number; the checkpoints before that stay.
        TrainingSaveError: if a checkpoint cannot be written, for instance because the disk is full.
    """
    checkpoints = checkpoint_folder(folder)
    arguments = _arguments(checkpoints, run, options)
    with arguments.main_process_first(local=False):  # one process tidies up, the others find it done
        found = prepare_checkpoints(checkpoints, run.fingerprint)
    resumed = found if options.resume and METHODS[options.method].can_resume else None
    callbacks: list[TrainerCallback] = [ProgressBar(enabled=options.show_progress), _RankAllocation()]
    callbacks += tracking_callbacks(options, folder.parent / "runs" / folder.name)
    if run.held_out:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=options.patience))
    trainer = _Trainer(
        lengths=run.lengths,
        model=run.network,
        args=arguments,
        data_collator=run.collate,
        train_dataset=run.train,
        eval_dataset=run.held_out or None,
        compute_metrics=run.measure,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, which is for results
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    return _history(trainer.state.log_history)


class _Trainer(Trainer):
    """A Trainer whose order of batches depends on seed and epoch alone, and whose checkpoints are sealed."""

    def __init__(self, *, lengths: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lengths = lengths

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        passes = self.args.gradient_accumulation_steps * self.args.world_size
        return _LengthGroupedSampler(self._lengths, self.args.train_batch_size * passes, seed=self.args.seed)

    @override
    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            msg = (
                f"the loss of step {step} is {float(loss)}, the training has diverged at learning rate "
                f"{self.args.learning_rate:g}; try a tenth of it, or precision='float32'. Checkpoints before that stay"
            )
            raise TrainingDivergedError(msg)
        return loss

    @override
    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write what is trained, and nothing of a frozen base: it is there again when training goes on."""
        network = self.accelerator.unwrap_model(self.model)
        trained = {name: p.detach().cpu() for name, p in network.named_parameters() if p.requires_grad}
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in trained.items()}, folder / SAFE_WEIGHTS_NAME)

    @override
    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Refuse weights that belong nowhere; those that are missing are the frozen ones."""
        if load_result.unexpected_keys:
            msg = f"the checkpoint holds weights of another network ({load_result.unexpected_keys[0]}, ...); remove it"
            raise TrainingError(msg)

    @override
    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                seal_checkpoint(folder)
        except (OSError, RuntimeError) as error:  # a full disk is a RuntimeError where torch writes the file
            msg = (
                f"the checkpoint {folder} could not be written: {error}; earlier checkpoints stay, make room and repeat"
            )
            raise TrainingSaveError(msg) from error


class _LengthGroupedSampler(Sampler[int]):
    """Places of examples: batches of like lengths, in an order that seed and epoch decide, the longest first."""

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    @override
    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = generator.permutation(len(self.lengths))
        size = self.batch_size * _GROUP_BATCHES
        batches: list[Any] = []
        for start in range(0, len(shuffled), size):
            group = shuffled[start : start + size]
            ordered = group[np.argsort(-self.lengths[group], kind="stable")]
            batches += [ordered[at : at + self.batch_size] for at in range(0, len(ordered), self.batch_size)]
        # a smaller batch anywhere but at the end would shift the borders of all after it
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        for place in generator.permutation(len(full)):
            yield from full[place].tolist()
        for batch in rest:
            yield from batch.tolist()


class _RankAllocation(TrainerCallback):
    """Lets adalora move its ranks after each step; nothing for other methods."""

    @override
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for module in kwargs["model"].modules():
            if type(module).__name__ == "AdaLoraModel":
                module.update_and_allocate(state.global_step + 1)


def _arguments(checkpoints: Path, run: TrainingRun, options: "TrainingOptions") -> TrainingArguments:
    device = choose_device(options.device)
    per_pass = options.batch_size // options.gradient_accumulation
    strategy = "steps" if options.checkpoint_steps else "epoch"
    steps = options.checkpoint_steps or 500
    num_steps = num_training_steps(options, len(run.train))
    settings: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "num_train_epochs": options.epochs,
        "per_device_train_batch_size": per_pass,
        "per_device_eval_batch_size": 4 * per_pass,
        "gradient_accumulation_steps": options.gradient_accumulation,
        "gradient_checkpointing": options.gradient_checkpointing,
        "learning_rate": options.peak_learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": int(0.06 * num_steps),  # the first step of a warm-up has rate 0, so a short run has none
        "weight_decay": 0.01,
        "bf16": wants_bfloat16(device, options.precision),
        "eval_strategy": strategy if run.held_out else "no",
        "eval_steps": steps,
        "save_strategy": strategy if options.resume or run.held_out else "no",
        "save_steps": steps,
        "save_only_model": not options.resume,
        "save_total_limit": 2,  # the newest and, where held-out rows judge, the best
        "load_best_model_at_end": bool(run.held_out),
        "metric_for_best_model": run.metric if run.held_out else None,
        "greater_is_better": run.metric != "loss",
        "logging_strategy": "steps",
        "logging_steps": max(1, min(25, num_steps // 10)),
        "report_to": "none",  # tracking comes as callbacks, with folders of our choosing
        "disable_tqdm": True,  # its bar prints every evaluation to standard output; ours does not
        "dataloader_pin_memory": False,
        "use_cpu": device == "cpu",
        "seed": options.seed,
        "label_names": ["labels"],
        "remove_unused_columns": False,
    }
    arguments = TrainingArguments(**settings | run.trainer_arguments)
    arguments.per_device_train_batch_size = max(1, per_pass // arguments.world_size)
    return arguments


def _history(log: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return a row per evaluation, or per logged loss where there was none, without the names' prefixes."""
    losses: list[float] = []
    rows: list[dict[str, float]] = []
    for entry in log:
        if "loss" in entry:
            losses.append(float(entry["loss"]))
        scores = {key[5:]: float(value) for key, value in entry.items() if key.startswith("eval_")}
        if scores:
            kept = {f"held_out_{key}": value for key, value in scores.items() if "_per_second" not in key}
            kept.pop("held_out_runtime", None)
            train_loss = {"loss": sum(losses) / len(losses)} if losses else {}
            rows.append({"epoch": float(entry["epoch"]), "step": float(entry["step"])} | train_loss | kept)
            losses = []
    if rows:
        return rows
    return [{name: float(entry[name]) for name in ("epoch", "step", "loss")} for entry in log if "loss" in entry]
