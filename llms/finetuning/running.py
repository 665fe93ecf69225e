"""The one training loop of every task, on transformers' Trainer: grouped by length, stopped early, resumable."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn
from transformers import EvalPrediction, PreTrainedModel, PrinterCallback, TrainingArguments

from llms.device import choose_device, wants_bfloat16
from llms.errors import OptionValueError, UnsupportedOptionError
from llms.finetuning.checked_trainer import CheckedTrainer
from llms.finetuning.checkpoints import checkpoint_folder, newest_valid_checkpoint, num_steps, prepare_checkpoints
from llms.finetuning.durable_files import writing
from llms.finetuning.methods import METHODS
from llms.finetuning.processes import count_processes, is_main_process, main_process_first
from llms.finetuning.progress import ProgressBar
from llms.finetuning.tracking import tracking_callbacks
from llms.finetuning.training_callbacks import EarlyStopping, LossAtCheckpoints, RankAllocation

if TYPE_CHECKING:
    from llms.finetuning.training_options import TrainingOptions

__all__ = ["TrainingRun", "num_training_steps", "run_training", "training_fingerprint"]

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
    text = json.dumps([settings, torch.__version__, transformers.__version__, *data], default=str)
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
        TrainingDivergedError: if a loss or a weight is no finite number; the checkpoints before that stay.
        TrainingSaveError: if a checkpoint or a log cannot be written, for instance because the disk is full.
        TrainingError: if the best checkpoint was damaged while training went on; the call can be repeated.
        OptionValueError: if the batch cannot be split evenly between the processes.
        UnsupportedOptionError: if the tracker is not installed, or the method cannot save memory in this way.
    """
    checkpoints = checkpoint_folder(folder).absolute()
    if options.gradient_checkpointing:
        _save_memory(run.network, options)
    arguments = _arguments(checkpoints, run, options)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(f"what the training of {folder} leaves behind"))
        resumed = _prepare(checkpoints, run, options)
        bar = stack.enter_context(contextlib.closing(ProgressBar(enabled=options.show_progress)))
        tracking = tracking_callbacks(
            options, folder.parent / "runs" / folder.name, done_steps=num_steps(resumed) if resumed else 0
        )
        callbacks = [RankAllocation(), LossAtCheckpoints(), bar, *stack.enter_context(tracking)]
        if run.held_out:
            callbacks.append(EarlyStopping(early_stopping_patience=options.patience))
        trainer = CheckedTrainer(
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
        trainer.refuse_diverged()
    return _history(trainer.state.log_history)


def _prepare(checkpoints: Path, run: TrainingRun, options: "TrainingOptions") -> Path | None:
    """Return the checkpoint to go on from, the same in every process, or None."""
    fingerprint = None
    if _can_resume(options):  # each process goes on from its own random state, so there must be as many again
        fingerprint = f"{run.fingerprint} {count_processes()}"
    with main_process_first():
        if is_main_process():
            return prepare_checkpoints(checkpoints, fingerprint)
        return newest_valid_checkpoint(checkpoints) if fingerprint else None


def _save_memory(network: nn.Module, options: "TrainingOptions") -> None:
    """Let the transformers model in `network` compute its activations again in the backward pass."""
    if options.method == "prefix":
        msg = "gradient_checkpointing drops the keys and values that method 'prefix' learns; set it to False"
        raise UnsupportedOptionError(msg)
    body = next(module for module in network.modules() if isinstance(module, PreTrainedModel))
    body.activation_checkpointing_enable()


def _can_resume(options: "TrainingOptions") -> bool:
    return options.resume and METHODS[options.method].can_resume


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
        "learning_rate": options.peak_learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": int(0.06 * num_steps),  # the first step of a warm-up has rate 0, so a short run has none
        "weight_decay": 0.01,
        "bf16": wants_bfloat16(device, options.precision),
        "eval_strategy": strategy if run.held_out else "no",
        "eval_steps": steps,
        "save_strategy": strategy if _can_resume(options) or run.held_out else "no",
        "save_steps": steps,
        "save_only_model": not _can_resume(options),
        "save_total_limit": None,  # Trainer would drop an older one before the newest is sealed; we do it after that
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
    arguments._n_gpu = min(arguments.n_gpu, 1)  # else Trainer takes every GPU at once, each with a batch of this size
    if per_pass % arguments.world_size:
        msg = (
            f"batch_size must be a multiple of gradient_accumulation times the {arguments.world_size} processes; "
            f"got {options.batch_size} and {options.gradient_accumulation}"
        )
        raise OptionValueError(msg)
    arguments.per_device_train_batch_size = per_pass // arguments.world_size
    return arguments


def _history(log: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return a row per evaluation, or per logged loss where there was none, without the names' prefixes.

    The loss of a row is the mean over all steps since the row before.
    """
    losses: list[tuple[float, float]] = []  # mean since the last entry, and of how many steps
    done = 0.0
    rows: list[dict[str, float]] = []
    for entry in log:
        if "loss" in entry:
            losses.append((float(entry["loss"]), float(entry["step"]) - done))
            done = float(entry["step"])
        scores = {key[5:]: float(value) for key, value in entry.items() if key.startswith("eval_")}
        if scores:
            kept = {f"held_out_{key}": value for key, value in scores.items() if "_per_second" not in key}
            kept.pop("held_out_runtime", None)
            num_steps_since = sum(count for _, count in losses)
            mean = {"loss": sum(loss * count for loss, count in losses) / num_steps_since} if losses else {}
            rows.append({"epoch": float(entry["epoch"]), "step": float(entry["step"])} | mean | kept)
            losses = []
    if rows:
        return rows
    return [{name: float(entry[name]) for name in ("epoch", "step", "loss")} for entry in log if "loss" in entry]
