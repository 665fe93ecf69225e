"""Training of sentence encoders on pairs and labels."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.embeddings.evaluation import Evaluator, ScoreEvaluator, evaluator_of_labels, evaluator_of_pairs
    from llms.finetuning.embeddings.finetune import TrainedEmbeddings, finetune_embeddings
    from llms.finetuning.embeddings.options import EmbeddingsOptions

__all__ = [
    "EmbeddingsOptions",
    "Evaluator",
    "ScoreEvaluator",
    "TrainedEmbeddings",
    "evaluator_of_labels",
    "evaluator_of_pairs",
    "finetune_embeddings",
]

__getattr__ = lazy_names(
    __name__,
    {
        "evaluation": ["Evaluator", "ScoreEvaluator", "evaluator_of_labels", "evaluator_of_pairs"],
        "finetune": ["TrainedEmbeddings", "finetune_embeddings"],
        "options": ["EmbeddingsOptions"],
    },
)
