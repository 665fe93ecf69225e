"""Training of local models on labelled records: one folder per task, and what the tasks share.

Each task has the same modules: `options`, `data` (rows to training examples), `training` (the optimisation),
`finetune` (from rows to a model folder) and, where the model is measured on rows kept apart, `evaluation`. Shared are
`data` (files, splits, checks), `trainer` (the training loop), `labelling` (which rows to label next) and `report`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.chat.finetune import finetune_chat
    from llms.finetuning.chat.options import ChatTrainingOptions
    from llms.finetuning.classifier.finetune import finetune_classifier
    from llms.finetuning.classifier.options import ClassifierOptions
    from llms.finetuning.data.conversations import read_conversations
    from llms.finetuning.data.labelled_files import read_labelled_texts, read_multi_label_texts
    from llms.finetuning.data.pairs import read_pairs
    from llms.finetuning.embeddings.finetune import finetune_embeddings
    from llms.finetuning.embeddings.options import EmbeddingsOptions
    from llms.finetuning.labelling.active_learning import suggest_rows
    from llms.finetuning.labelling.label_errors import find_label_errors
    from llms.finetuning.labelling.self_training import self_train
    from llms.finetuning.report.report import TrainingReport, read_report
    from llms.finetuning.reranker.finetune import finetune_reranker
    from llms.finetuning.reranker.options import RerankerOptions
    from llms.finetuning.tagger.files import read_tagged_texts
    from llms.finetuning.tagger.finetune import finetune_tagger
    from llms.finetuning.tagger.options import TaggerOptions
    from llms.finetuning.trainer.options import TrainingOptions

__all__ = [
    "ChatTrainingOptions",
    "ClassifierOptions",
    "EmbeddingsOptions",
    "RerankerOptions",
    "TaggerOptions",
    "TrainingOptions",
    "TrainingReport",
    "find_label_errors",
    "finetune_chat",
    "finetune_classifier",
    "finetune_embeddings",
    "finetune_reranker",
    "finetune_tagger",
    "read_conversations",
    "read_labelled_texts",
    "read_multi_label_texts",
    "read_pairs",
    "read_report",
    "read_tagged_texts",
    "self_train",
    "suggest_rows",
]

__getattr__ = lazy_names(
    __name__,
    {
        "chat.finetune": ["finetune_chat"],
        "chat.options": ["ChatTrainingOptions"],
        "classifier.finetune": ["finetune_classifier"],
        "classifier.options": ["ClassifierOptions"],
        "data.conversations": ["read_conversations"],
        "data.labelled_files": ["read_labelled_texts", "read_multi_label_texts"],
        "data.pairs": ["read_pairs"],
        "embeddings.finetune": ["finetune_embeddings"],
        "embeddings.options": ["EmbeddingsOptions"],
        "labelling.active_learning": ["suggest_rows"],
        "labelling.label_errors": ["find_label_errors"],
        "labelling.self_training": ["self_train"],
        "report.report": ["TrainingReport", "read_report"],
        "reranker.finetune": ["finetune_reranker"],
        "reranker.options": ["RerankerOptions"],
        "tagger.files": ["read_tagged_texts"],
        "tagger.finetune": ["finetune_tagger"],
        "tagger.options": ["TaggerOptions"],
        "trainer.options": ["TrainingOptions"],
    },
)
