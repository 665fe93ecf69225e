"""Reports of trainings: figures, their wording, and the model card."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.report.model_card import write_model_card
    from llms.finetuning.report.report import (
        ErrorExample,
        Neighbour,
        ParameterCounts,
        RowCounts,
        ScoreTable,
        Task,
        TrainingReport,
        folder_size_bytes,
        pick_errors,
        read_report,
        write_report,
    )
    from llms.finetuning.report.wording import (
        TASK_WORDS,
        describe_duration,
        describe_limits,
        describe_metric,
        describe_parameters,
        describe_size,
        describe_thresholds,
        format_figure,
        is_lower_better,
        plain_text,
        show_base_model,
    )

__all__ = [
    "TASK_WORDS",
    "ErrorExample",
    "Neighbour",
    "ParameterCounts",
    "RowCounts",
    "ScoreTable",
    "Task",
    "TrainingReport",
    "describe_duration",
    "describe_limits",
    "describe_metric",
    "describe_parameters",
    "describe_size",
    "describe_thresholds",
    "folder_size_bytes",
    "format_figure",
    "is_lower_better",
    "pick_errors",
    "plain_text",
    "read_report",
    "show_base_model",
    "write_model_card",
    "write_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "model_card": ["write_model_card"],
        "report": [
            "ErrorExample",
            "Neighbour",
            "ParameterCounts",
            "RowCounts",
            "ScoreTable",
            "Task",
            "TrainingReport",
            "folder_size_bytes",
            "pick_errors",
            "read_report",
            "write_report",
        ],
        "wording": [
            "TASK_WORDS",
            "describe_duration",
            "describe_limits",
            "describe_metric",
            "describe_parameters",
            "describe_size",
            "describe_thresholds",
            "format_figure",
            "is_lower_better",
            "plain_text",
            "show_base_model",
        ],
    },
)
