"""Sentence encoders: texts to vectors.

Read in this order: `local_embeddings`, `text_encoder`, `sentence_encoder`, `openvino`. Training:
`llms.finetuning.embeddings`; export to OpenVINO: `export`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.encoder.local_embeddings import LocalEmbeddings
    from llms.encoder.sentence_encoder import load_encoder
    from llms.encoder.vector_cache import RecentVectors

__all__ = [
    "LocalEmbeddings",
    "RecentVectors",
    "load_encoder",
]

__getattr__ = lazy_names(
    __name__,
    {"local_embeddings": ["LocalEmbeddings"], "sentence_encoder": ["load_encoder"], "vector_cache": ["RecentVectors"]},
)
