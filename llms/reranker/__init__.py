"""Rerankers: documents in a better order, by a model that reads question and document together.

Training: `llms.finetuning.reranker`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.reranker.local_reranker import LocalReranker

__all__ = [
    "LocalReranker",
]

__getattr__ = lazy_names(
    __name__,
    {"local_reranker": ["LocalReranker"]},
)
