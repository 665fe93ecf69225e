"""The training loop of every task, on transformers' Trainer: grouped by length, stopped early, resumable."""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Sampler
from transformers import EvalPrediction, PreTrainedModel, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import SAFE_WEIGHTS_NAME
from typing_extensions import override

from llms.device import choose_device, wants_bfloat16
from llms.errors import OptionValueError, TrainingDivergedError, TrainingError, UnsupportedOptionError
from llms.finetuning.trainer.callbacks import (
    EarlyStopping,
    LossAtCheckpoints,
    ProgressBar,
    RankAllocation,
    tracking_callbacks,
)
from llms.finetuning.trainer.checkpoints import (
    checkpoint_folder,
    checkpoint_of,
    drop_old_checkpoints,
    is_valid_checkpoint,
    newest_valid_checkpoint,
    num_steps,
    prepare_checkpoints,
    seal_checkpoint,
)
from llms.finetuning.trainer.files import count_processes, is_main_process, main_process_first, writing
from llms.finetuning.trainer.methods import METHODS

if TYPE_CHECKING:
    from llms.finetuning.trainer.options import TrainingOptions

# how a run is watched or cut into passes does not change what is learnt
_NOT_LEARNT_FROM = ("show_progress", "logs", "track", "resume")
_GROUP_BATCHES = 50  # batches within which examples are sorted by length: order stays random above that


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


class LengthGroupedSampler(Sampler[int]):
    """Places of examples: batches of like lengths, in an order that seed and epoch decide, the longest first."""

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
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
        for index in generator.permutation(len(full)):
            yield from full[index].tolist()
        for batch in rest:
            yield from batch.tolist()
