"""Training reports: the content of `report.json` beside the weights."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llms.errors import ModelFolderError
from llms.field_errors import describe_errors
from llms.files import replace_text
from llms.metrics import ReliabilityBin

REPORT_NAME = "report.json"
Task = Literal["classifier", "tagger", "chat", "embeddings", "reranker"]


class _Frozen(BaseModel):
    # JSON knows no NaN; as a text it survives, so that a loss that broke down can be seen later
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class RowCounts(_Frozen):
    """How many rows were learnt from, kept apart for stopping and thresholds, and used for the figures only."""

    train: int = Field(ge=0)
    held_out: int = Field(default=0, ge=0)
    test: int = Field(default=0, ge=0)


class ParameterCounts(_Frozen):
    """How many weights the model has, and how many of them were trained."""

    trainable: int = Field(ge=0)
    total: int = Field(ge=0)


class ScoreRow(_Frozen):
    """How well one label, or an average over labels, was found."""

    precision: float
    recall: float
    f1: float
    support: int = Field(ge=0, description="Expected occurrences in the test rows.")


class Confusion(_Frozen):
    """Counts with one row per expected and one column per predicted label."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class ScoreTable(_Frozen):
    """What `per_class_report`, `multi_label_report` or `entity_report` returned."""

    classes: dict[str, ScoreRow]
    averages: dict[str, ScoreRow]
    confusion: Confusion | None = None
    subset_accuracy: float | None = None
    hamming_loss: float | None = None


class Neighbour(NamedTuple):
    """A labelled training text near another text; `similarity` is a cosine."""

    text: str
    label: str
    similarity: float


class ErrorExample(_Frozen):
    """A test text that the model got wrong."""

    text: str
    expected: str = Field(description="Several labels or spans are written as one text.")
    predicted: str
    probability: float | None = Field(default=None, ge=0.0, le=1.0, description="Of what was predicted.")
    reason: str = Field(default="", description="Why it is worth reading.")
    neighbours: tuple[Neighbour, ...] = Field(default=(), description="Nearest first: often one is labelled wrong.")
    words: tuple[tuple[str, float], ...] = Field(default=(), description="Each word's weight for what was predicted.")


class TrainingReport(_Frozen):
    """All that is known about a model on the day it was trained; parts that a task does not have are empty.

    Example:
        >>> report = TrainingReport(
        ...     task="classifier", method="lora", base_model="org/encoder", seed=0, seconds=61.5,
        ...     started="2026-03-02T10:00:00+00:00", rows={"train": 900, "test": 100},
        ...     parameters={"trainable": 300_000, "total": 22_700_000}, size_bytes=91_000_000,
        ...     metrics={"accuracy": 0.91}, baselines={"most frequent label": {"accuracy": 0.2}},
        ... )
        >>> report.rows.train, report.per_class
        (900, None)
    """

    schema_version: Literal[1] = 1
    task: Task
    method: str
    method_reason: str = Field(default="", description="Why it was taken, where it was chosen on held-out rows.")
    base_model: str
    seed: int
    seconds: float = Field(ge=0.0, description="Of the whole run, evaluation included.")
    started: datetime
    rows: RowCounts
    parameters: ParameterCounts
    size_bytes: int = Field(ge=0, description="Of the saved folder; see `folder_size_bytes`.")
    metrics: dict[str, float] = Field(description="On the test rows, the most important first.")
    baselines: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Simple method -> the same metrics on the same rows."
    )
    per_class: ScoreTable | None = None
    entities: ScoreTable | None = None
    learning_curve: tuple[dict[str, float], ...] = Field(
        default=(), description="Entries with `epoch` or `step`, and `loss`, `eval_loss` or held-out metrics."
    )
    reliability: tuple[ReliabilityBin, ...] = ()
    errors: tuple[ErrorExample, ...] = Field(default=(), description="Those worth reading; see `pick_errors`.")
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="`min_probability`, `min_in_scope`, what they were set for (`accepted_accuracy_wanted`) and what "
        "they did (`accepted_accuracy`, `accepted_accuracy_lower_95`, `accepted_share`).",
    )
    data: dict[str, Any] = Field(
        default_factory=dict,
        description="What is known about the rows: `sha256`, and what a data report holds (`rows_per_label`, "
        "`warnings`, counts and examples).",
    )
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = Field(default="", description="What was typed to start the run, if it was typed.")


def pick_errors(examples: Iterable[ErrorExample], *, limit: int = 50) -> list[ErrorExample]:
    """Return the errors worth reading, confident ones first, one per kind of mistake before any repeats.

    A confident mistake is often a wrong label in the data, or two labels that mean the same. Right answers among
    the examples are left out, so all test rows can be given; look neighbours up for what is returned.

    Args:
        examples: in any order; those without a probability come last.
        limit: how many to return at most.

    Returns:
        Each with a reason; one that is there already stays.

    Example:
        >>> def example(text, predicted, probability):
        ...     return ErrorExample(text=text, expected="a", predicted=predicted, probability=probability)
        >>> rows = [example("1", "b", 0.7), example("2", "b", 0.9), example("3", "c", 0.5), example("4", "a", 0.9)]
        >>> [error.text for error in pick_errors(rows)]
        ['2', '3', '1']
    """
    wrong = [example for example in examples if example.expected != example.predicted]
    wrong.sort(key=lambda example: -1.0 if example.probability is None else example.probability, reverse=True)
    kinds = Counter((example.expected, example.predicted) for example in wrong)
    seen: Counter[tuple[str, str]] = Counter()
    rounds = []  # how many of its kind come before each
    for example in wrong:
        kind = (example.expected, example.predicted)
        rounds.append(seen[kind])
        seen[kind] += 1
    order = sorted(range(len(wrong)), key=rounds.__getitem__)  # sorted() is stable: confident ones stay in front
    return [_with_reason(wrong[i], kinds) for i in order[:limit]]


def _with_reason(example: ErrorExample, kinds: Counter[tuple[str, str]]) -> ErrorExample:
    if example.reason:
        return example
    count = kinds[example.expected, example.predicted]
    often = "the only mistake of this kind" if count == 1 else f"one of {count} mistakes of this kind"
    sure = "" if example.probability is None else f"{100 * example.probability:.0f} % sure and wrong; "
    return example.model_copy(update={"reason": sure + often})


def folder_size_bytes(folder: Path) -> int:
    """Return the size of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_report(report: TrainingReport, folder: Path) -> Path:
    """Write `report.json` into a model's folder and return its path; a reader sees the old file or the new one.

    Write it after the manifest, which lists the files that must never change; the report is none of them.

    Raises:
        ModelNotFoundError: if there is no such folder.
    """
    path = folder / REPORT_NAME
    replace_text(path, report.model_dump_json(indent=2) + "\n")
    return path


def read_report(folder: Path) -> TrainingReport:
    """Return the report of a model's folder.

    Raises:
        ModelFolderError: if the folder has none, or the file is not one.
    """
    path = folder / REPORT_NAME
    try:
        return TrainingReport.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        msg = f"{folder} has no {REPORT_NAME}; models trained by an older version have none, train the model again"
        raise ModelFolderError(msg) from error
    except (OSError, ValidationError) as error:
        reason = describe_errors(error) if isinstance(error, ValidationError) else error
        msg = f"{path} is no report of a training run: {reason}; restore the file or train the model again"
        raise ModelFolderError(msg) from error
