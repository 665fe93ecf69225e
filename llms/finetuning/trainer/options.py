"""Training options that all tasks share."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from llms.device import Precision
from llms.errors import OptionValueError, UnsupportedOptionError
from llms.finetuning.trainer.methods import METHODS, Method, check_method
from llms.loading import DEFAULT_ENCODER

Tracker = Literal["tensorboard", "wandb", "none"]
_TRACKERS = ("tensorboard", "wandb", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What every task lets its caller choose; a task's own options add to it.

    Attributes:
        base: the model to start from; folder, hub id or the built-in encoder.
        method: which weights are trained; see `llms.finetuning.trainer.methods.METHODS`.
        keep_adapter: save what was learnt beside the base instead of merged into it: the folder is small, and the
            base is needed at run time. Methods that cannot be merged are always kept so.
        rank: size of what lora, dora, adalora and adapter add, or tokens of prefix; None is the method's default.
        train_word_vectors: whether full training of an encoder changes the vectors of its words, too. None leaves them
            as they are where they are more than two thirds of the weights, as with a vocabulary for a hundred
            languages: the rows hold few of the words, and those would move away from all others.
        epochs: passes over the rows at most; training stops earlier when the held-out rows stop improving.
        batch_size: examples per step of the optimizer, over all processes and accumulated passes.
        gradient_accumulation: passes a batch is cut into, so that a large batch fits into memory.
        gradient_checkpointing: compute activations again in the backward pass instead of storing them.
        learning_rate: peak rate, a linear warm-up and decay lie around it; None is the method's default.
        patience: evaluations without improvement on the held-out rows before training stops.
        held_out_share: share of the training rows kept apart for stopping and calibration.
        max_tokens: longer texts are cut.
        checkpoint_steps: steps between evaluations, each followed by a checkpoint; None is once an epoch.
        resume: go on from the newest valid checkpoint of the same training, if an earlier run was cut off.
        track: where losses and scores are logged while training runs.
        logs: folder for TensorBoard's files; None is `runs/<name>` beside the model's folder.
        seed: the same seed and data give the same model on the same machine and number of threads.
    """

    full_learning_rate: ClassVar[float] = 1e-4
    methods: ClassVar[tuple[Method, ...]] = tuple(method for method in METHODS if method != "auto")

    base: str = DEFAULT_ENCODER
    method: Method = "full"
    keep_adapter: bool = False
    rank: int | None = None
    train_word_vectors: bool | None = None
    epochs: int = 6
    batch_size: int = 32
    gradient_accumulation: int = 1
    gradient_checkpointing: bool = False
    learning_rate: float | None = None
    patience: int = 2
    held_out_share: float = 0.1
    max_tokens: int = 128
    checkpoint_steps: int | None = None
    resume: bool = True
    track: Tracker = "tensorboard"
    logs: Path | None = None
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    show_progress: bool = True

    def __post_init__(self) -> None:
        """Refuse values no training can honour."""
        check_method(self.method, allowed=self.methods, keep_adapter=self.keep_adapter)
        if self.precision not in ("auto", "float32", "bfloat16"):
            msg = f"precision must be auto, float32 or bfloat16, got {self.precision!r}"
            raise OptionValueError(msg)
        if self.track not in _TRACKERS:
            msg = f"track must be one of {', '.join(_TRACKERS)}, got {self.track!r}"
            raise OptionValueError(msg)
        if self.track != "none" and importlib.util.find_spec(self.track) is None:
            msg = f"track={self.track!r} needs the library {self.track}, which is not installed; or set track='none'"
            raise UnsupportedOptionError(msg)
        self._check_sizes()
        if not 0 < self.held_out_share < 0.5:
            msg = f"held_out_share must lie between 0 and 0.5, got {self.held_out_share}"
            raise OptionValueError(msg)
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            msg = f"learning_rate must lie between 0 and 1, got {self.learning_rate}"
            raise OptionValueError(msg)

    def _check_sizes(self) -> None:
        names = ("epochs", "batch_size", "gradient_accumulation", "patience", "rank", "checkpoint_steps")
        for name in names:
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"{name} must be at least 1, got {value}"
                raise OptionValueError(msg)
        if self.max_tokens < 2:
            msg = f"max_tokens must be at least 2, got {self.max_tokens}"
            raise OptionValueError(msg)
        if self.batch_size % self.gradient_accumulation:
            msg = (
                f"batch_size must be a multiple of gradient_accumulation, the passes it is cut into; "
                f"got {self.batch_size} and {self.gradient_accumulation}"
            )
            raise OptionValueError(msg)

    @property
    def peak_learning_rate(self) -> float:
        """The rate given, or the task's rate for full training times the method's factor.

        Example:
            >>> TrainingOptions(method="lora").peak_learning_rate > TrainingOptions().peak_learning_rate
            True
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return self.full_learning_rate * METHODS[self.method].rate_factor
