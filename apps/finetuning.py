"""Fine-tuning from a recipe: rows read and checked, a model trained, measured and described."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from apps.console import errors, print_json, print_rejected
from apps.finetuning_console import print_checks, print_data_warnings
from apps.model_report import write_model_report
from apps.recipes import Recipe, write_recipe
from apps.tasks import open_task
from apps.tasks.task import Figures, FinetuningTask, TaskRows
from llms import LocalEmbeddings
from llms.errors import TrainingDataError
from llms.files import replace_text
from llms.finetuning import TrainingOptions, TrainingReport, find_label_errors
from llms.finetuning.data import DataReport, LabelledTexts
from llms.finetuning.labelling import LabelError, out_of_fold_probabilities
from llms.finetuning.report import (
    ParameterCounts,
    RowCounts,
    ScoreTable,
    folder_size_bytes,
    write_model_card,
    write_report,
)
from llms.finetuning.trainer import TrainedModel, is_main_process, refuse_foreign_folder
from llms.manifest import load_manifest_of

DATA_REPORT_NAME = "data_report.md"

Rows = TypeVar("Rows", bound=TaskRows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRows(Generic[Rows]):
    """Rows of a training, and what is known about them."""

    train: Rows
    test: Rows | None
    report: DataReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A trained model: what is known about it, and where that lies.

    Attributes:
        paths: `model`, and the files in it: `report`, `page`, `card`, `data_report`, `recipe`.
    """

    report: TrainingReport
    paths: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return what a program wants to know, as values that JSON can hold."""
        warnings = self.report.data.get("warnings", [])
        return {
            "task": self.report.task,
            "metrics": self.report.metrics,
            "baselines": self.report.baselines,
            "warnings": list(warnings),
            "paths": self.paths,
            "seconds": round(self.report.seconds, 1),
        }


def check_recipe(recipe: Recipe, *, as_json: bool = False) -> bool:
    """Print what is wrong with the rows of a recipe, wrong labels included, and return whether they can be learnt."""
    rows = _read_and_check(recipe)
    print_data_warnings(rows.report)
    label_errors = _find_wrong_labels(rows, recipe.training)
    if as_json:
        wrong = [asdict(error) for error in label_errors]
        print_json({"task": recipe.task, "label_errors": wrong, **rows.report.to_dict()})
    else:
        print_checks(rows.report, label_errors)
    return not rows.report.errors


def run_recipe(recipe: Recipe, *, command: str = "", is_strict: bool = False) -> Outcome | None:
    """Train, measure and report; what is wrong with the rows is said on standard error before training.

    Of several processes all train, one reports: None in the others.

    Raises:
        TrainingDataError: if the rows cannot be learnt from, or with `is_strict`, if there is any warning about them.
        ModelFolderError: before any work, if something that is no model lies in the folder's place.
    """
    if recipe.out is None:
        msg = "a recipe without a folder for the model can be checked, but not trained; set out"
        raise TrainingDataError(msg)
    refuse_foreign_folder(recipe.out)
    rows = _read_and_check(recipe)
    if rows.report.errors:
        raise TrainingDataError(rows.report.errors[0])
    if is_main_process():
        print_data_warnings(rows.report)
    if is_strict and rows.report.warnings:
        warnings = rows.report.warnings
        msg = f"{len(warnings)} warnings about the rows, the first: {warnings[0]}; correct them, or leave --strict out"
        raise TrainingDataError(msg)
    task = open_task(recipe.task)
    train, test = rows.train, rows.test
    options = replace(recipe.training, show_progress=errors.is_terminal)
    if test is None:
        train, test = task.keep_apart(train, options)
    outcome = finetune_and_evaluate(task, (train, test), recipe.out, options, data=rows.report, command=command)
    if outcome is None:
        return None
    return replace(outcome, paths=outcome.paths | {"recipe": str(write_recipe(recipe, recipe.out))})


def finetune_and_evaluate(
    task: FinetuningTask[Any, Rows, Any],
    rows: tuple[Rows, Rows | None],
    folder: Path,
    options: TrainingOptions,
    *,
    data: DataReport | None = None,
    command: str = "",
) -> Outcome | None:
    """Train a model, measure it beside simple methods, and write reports into its folder; see `Outcome`.

    The reports come after the manifest, so that they are no part of what must never change.

    Args:
        rows: for training and for the figures; without test rows the held-out figures are all there is.
        data: what is known about the rows.
        command: what was typed, if it was typed.
    """
    started, start = datetime.now(UTC), time.perf_counter()
    train, test = rows
    trained = task.finetune(train, folder, options)
    if not is_main_process():
        return None
    if test:
        figures = task.measure(folder, train, test, options)
    else:
        figures = Figures(metrics={name: value for name, value in trained.metrics.items() if "num_" not in name})
    num_held_out = task.count_held_out(train, options, trained)
    counts = RowCounts(train=len(train.rows) - num_held_out, held_out=num_held_out, test=len(test.rows) if test else 0)
    report = _build_report(task, trained, figures, data=_describe_data(task, train, figures, data), rows=counts)
    report = report.model_copy(update={"seconds": time.perf_counter() - start, "started": started, "command": command})
    return Outcome(report=report, paths=_write(report, folder, data))


def _read_and_check(recipe: Recipe) -> CheckedRows[Any]:
    """Return the rows of a recipe and what is known about them; those set aside are named on standard error."""
    task, data = open_task(recipe.task), recipe.data
    train = task.read(data.train, data)
    test = task.match(task.read(data.test, data), train) if data.test else None
    report = task.check(train, test)
    if is_main_process():
        print_rejected(train.rejected, str(data.train))
        print_rejected(test.rejected if test else [], str(data.test))
    return CheckedRows(train=train, test=test, report=report)


def _find_wrong_labels(rows: CheckedRows[Any], options: TrainingOptions) -> list[LabelError]:
    """Return the rows whose label is probably wrong, by the vectors of the base; none where rows have no one label."""
    train = rows.train
    if not isinstance(train, LabelledTexts) or rows.report.errors:
        return []
    labels = sorted({row.label for row in train.rows})
    texts = [row.text for row in train.rows]
    vectors = LocalEmbeddings(options.base, device=options.device).embed_array(texts)
    ids = [labels.index(row.label) for row in train.rows]
    probabilities = out_of_fold_probabilities(texts, ids, vectors=vectors, seed=options.seed)
    return find_label_errors(train.rows, probabilities)


def _build_report(
    task: FinetuningTask[Any, Any, Any],
    trained: TrainedModel,
    figures: Figures,
    *,
    data: dict[str, Any],
    rows: RowCounts,
) -> TrainingReport:
    manifest = load_manifest_of(trained.folder, task.manifest_kind)
    return TrainingReport(
        task=task.name,
        method=manifest.method,
        method_reason=trained.method_reason,
        base_model=manifest.base_model,
        seed=manifest.seed,
        seconds=0.0,
        started=datetime.now(UTC),
        rows=rows,
        parameters=ParameterCounts(trainable=manifest.trained_parameters, total=manifest.total_parameters),
        size_bytes=folder_size_bytes(trained.folder),
        metrics=figures.metrics,
        baselines=figures.baselines,
        per_class=ScoreTable.model_validate(figures.per_class) if figures.per_class else None,
        entities=ScoreTable.model_validate(figures.entities) if figures.entities else None,
        learning_curve=tuple(trained.history),
        reliability=tuple(figures.reliability),
        errors=tuple(figures.errors),
        thresholds=task.thresholds(manifest),
        data={"sha256": manifest.data_sha256} | data,
        versions=manifest.versions,
    )


def _describe_data(
    task: FinetuningTask[Any, Rows, Any], train: Rows, figures: Figures, data: DataReport | None
) -> dict[str, Any]:
    """Return what the report says of the rows; labels are counted in the rows that were trained on."""
    known = {name: value for name, value in data.to_dict().items() if value is not None} if data else {}
    warnings = [*known.get("warnings", []), *figures.notes]
    return known | {"rows_per_label": task.count_labels(train), "warnings": warnings}


def _write(report: TrainingReport, folder: Path, data: DataReport | None) -> dict[str, str]:
    paths = {
        "model": folder,
        "report": write_report(report, folder),
        "page": write_model_report(report, folder),
        "card": write_model_card(report, folder),
    }
    if data:
        paths["data_report"] = folder / DATA_REPORT_NAME
        replace_text(paths["data_report"], data.to_markdown())
    return {name: str(path) for name, path in paths.items()}
