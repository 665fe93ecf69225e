"""Training of rerankers on questions and the documents that answer them."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.reranker.data import CandidateList
    from llms.finetuning.reranker.evaluation import measure_lists
    from llms.finetuning.reranker.finetune import TrainedReranker, finetune_reranker
    from llms.finetuning.reranker.options import RerankerOptions

__all__ = [
    "CandidateList",
    "RerankerOptions",
    "TrainedReranker",
    "finetune_reranker",
    "measure_lists",
]

__getattr__ = lazy_names(
    __name__,
    {
        "data": ["CandidateList"],
        "evaluation": ["measure_lists"],
        "finetune": ["TrainedReranker", "finetune_reranker"],
        "options": ["RerankerOptions"],
    },
)
