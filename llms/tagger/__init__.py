"""Taggers: texts to labelled spans with calibrated probabilities.

Read in this order: `local_tagger`, `token_tagger`, `tokenizer`, `scheme`. Training: `llms.finetuning.tagger`;
export to OpenVINO: `export`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.tagger.local_tagger import LocalTagger
    from llms.tagger.metrics import entity_report, format_report
    from llms.tagger.results import Span, Tagging
    from llms.tagger.scheme import TagSpan

__all__ = [
    "LocalTagger",
    "Span",
    "TagSpan",
    "Tagging",
    "entity_report",
    "format_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "local_tagger": ["LocalTagger"],
        "metrics": ["entity_report", "format_report"],
        "results": ["Span", "Tagging"],
        "scheme": ["TagSpan"],
    },
)
