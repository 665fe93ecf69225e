"""Training of sentence encoders on pairs and labels."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.embeddings.evaluation import Judge, ScoreJudge, judge_labels, judge_pairs
    from llms.finetuning.embeddings.finetune import TrainedEmbeddings, finetune_embeddings
    from llms.finetuning.embeddings.options import EmbeddingsOptions

__all__ = [
    "EmbeddingsOptions",
    "Judge",
    "ScoreJudge",
    "TrainedEmbeddings",
    "finetune_embeddings",
    "judge_labels",
    "judge_pairs",
]

__getattr__ = lazy_names(
    __name__,
    {
        "evaluation": ["Judge", "ScoreJudge", "judge_labels", "judge_pairs"],
        "finetune": ["TrainedEmbeddings", "finetune_embeddings"],
        "options": ["EmbeddingsOptions"],
    },
)
