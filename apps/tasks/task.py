"""Interface of a training task, and the types of its results."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from llms.errors import TrainingDataError
from llms.finetuning import TrainingOptions
from llms.finetuning.data import DataReport, MultiLabelText, MultiLabelTexts, RejectedRow, check_labelled_texts
from llms.finetuning.report import ErrorExample, Task
from llms.finetuning.trainer import TrainedModel
from llms.manifest import ModelManifest
from llms.metrics import ReliabilityBin

REPORT_SHARE = 0.2  # of the rows, kept apart where no test rows are given


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Which files a training reads; a task's own options name the columns.

    Attributes:
        train: what is learnt from.
        test: rows for the figures; without them a fifth of the training rows is kept apart.
    """

    train: Path
    test: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good a model is on test rows, and what it got wrong.

    Attributes:
        metrics: the most important first.
        baselines: simple method -> the same metrics on the same rows.
        notes: what a reader of the figures must know, one sentence each.
    """

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    per_class: dict[str, Any] | None = None
    entities: dict[str, Any] | None = None
    reliability: Sequence[ReliabilityBin] = ()
    errors: Sequence[ErrorExample] = ()
    notes: Sequence[str] = ()


class TaskRows(Protocol):
    """Rows of any task, and those set aside."""

    @property
    def rows(self) -> list[Any]:
        """The usable rows."""

    @property
    def rejected(self) -> list[RejectedRow]:
        """The others."""


Data = TypeVar("Data", bound=DataOptions)
Rows = TypeVar("Rows", bound=TaskRows)
Options = TypeVar("Options", bound=TrainingOptions)


class FinetuningTask(ABC, Generic[Data, Rows, Options]):
    """From files to rows, from rows to a model, and from a model to figures.

    Attributes:
        data_kind: which columns and files a recipe may name.
        options_kind: how it may be trained.
        manifest_kind: what stands in the folder of the model.
    """

    name: ClassVar[Task]
    data_kind: type[Data]
    options_kind: type[Options]
    manifest_kind: ClassVar[type[ModelManifest]]

    @abstractmethod
    def read(self, path: Path, data: Data) -> Rows:
        """Return the rows of a file."""

    def match(self, test: Rows, train: Rows) -> Rows:  # noqa: ARG002
        """Return test rows in the words of the training rows, where both mean the same; the same rows by default."""
        return test

    @abstractmethod
    def check(self, train: Rows, test: Rows | None) -> DataReport:
        """Return what is better corrected before training; `errors` says what training would refuse."""

    @abstractmethod
    def keep_apart(self, rows: Rows, options: Options) -> tuple[Rows, Rows | None]:
        """Return (train, test), where a fifth is kept apart for the figures; None where that cannot be done."""

    @abstractmethod
    def finetune(self, train: Rows, folder: Path, options: Options) -> TrainedModel:
        """Train a model into `folder`."""

    @abstractmethod
    def count_held_out(self, train: Rows, options: Options, trained: TrainedModel) -> int:
        """Return how many of the training rows decided when to stop."""

    @abstractmethod
    def measure(self, folder: Path, train: Rows, test: Rows, options: Options) -> Figures:
        """Return how good the model in `folder` is on `test`, beside simple methods that know the same `train`."""

    def thresholds(self, manifest: ModelManifest) -> dict[str, float]:
        """Return scales and thresholds of a trained model."""
        return dict(manifest.calibration)

    def count_labels(self, train: Rows) -> dict[str, int]:  # noqa: ARG002
        """Return the number of rows of each label, most frequent first; nothing where there are no labels."""
        return {}


def check_texts(
    train: Sequence[tuple[str, Sequence[str]]],
    test: Sequence[tuple[str, Sequence[str]]] | None,
    *,
    rejected: tuple[Sequence[RejectedRow], Sequence[RejectedRow]],
    error: TrainingDataError | None,
) -> DataReport:
    """Return what is known about (text, labels) of a task whose rows are no labelled texts: repetition and leakage.

    Args:
        rejected: rows set aside, of the training file and of the test file.
        error: why training would refuse the rows.
    """
    kept, judged = (
        MultiLabelTexts([MultiLabelText(text, tuple(labels)) for text, labels in rows or ()], list(aside))
        for rows, aside in zip((train, test), rejected, strict=True)
    )
    report = check_labelled_texts(kept, judged if test is not None else None)
    return replace(report, errors=[str(error)] if error else [], num_without_label=0)


def most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, equal ones in alphabetical order."""
    return dict(sorted(Counter(counts).items(), key=lambda item: (-item[1], item[0])))
