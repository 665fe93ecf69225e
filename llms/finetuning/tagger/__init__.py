"""Training of taggers on texts with labelled spans."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.tagger.data import (
        LabelledSpan,
        TaggedText,
        TaggedTexts,
        check_tagged_texts,
        split_tagged_texts,
    )
    from llms.finetuning.tagger.files import read_tagged_texts
    from llms.finetuning.tagger.finetune import TrainedTagger, finetune_tagger
    from llms.finetuning.tagger.options import TaggerOptions

__all__ = [
    "LabelledSpan",
    "TaggedText",
    "TaggedTexts",
    "TaggerOptions",
    "TrainedTagger",
    "check_tagged_texts",
    "finetune_tagger",
    "read_tagged_texts",
    "split_tagged_texts",
]

__getattr__ = lazy_names(
    __name__,
    {
        "data": [
            "LabelledSpan",
            "TaggedText",
            "TaggedTexts",
            "check_tagged_texts",
            "split_tagged_texts",
        ],
        "files": ["read_tagged_texts"],
        "finetune": ["TrainedTagger", "finetune_tagger"],
        "options": ["TaggerOptions"],
    },
)
