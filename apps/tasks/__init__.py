"""Training tasks, one per kind of model; `apps/finetuning.py` runs any of them the same way."""

import importlib
from typing import TYPE_CHECKING, Any, get_args

from llms.finetuning.report import Task

if TYPE_CHECKING:
    from apps.tasks.task import FinetuningTask

__all__ = ["TASKS", "open_task"]

TASKS: tuple[Task, ...] = get_args(Task)
_CLASSES: dict[Task, tuple[str, str]] = {
    "classifier": ("apps.tasks.classifier", "ClassifierTask"),
    "tagger": ("apps.tasks.tagger", "TaggerTask"),
    "chat": ("apps.tasks.chat", "ChatTask"),
    "embeddings": ("apps.tasks.embeddings", "EmbeddingsTask"),
    "reranker": ("apps.tasks.reranker", "RerankerTask"),
}


def open_task(name: Task) -> "FinetuningTask[Any, Any, Any]":
    """Return the task of this name; its libraries are loaded only now."""
    module, kind = _CLASSES[name]
    task: FinetuningTask[Any, Any, Any] = getattr(importlib.import_module(module), kind)()
    return task
