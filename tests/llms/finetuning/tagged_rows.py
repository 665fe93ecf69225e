"""Tagged texts that a tiny encoder learns in seconds: digits are numbers, and parcels that are late a state."""

import random

from llms.finetuning.tagger.data import LabelledSpan, TaggedText, TaggedTexts
from llms.finetuning.tagger.options import TaggerOptions
from tests.tiny_models import build_token_classifier

__all__ = ["build_base", "build_tagged_texts", "quick_options"]


def build_base(folder):
    """Write a tiny encoder that learns what single words mean in a few steps."""
    return build_token_classifier(folder, initializer_range=0.02)


def build_tagged_texts(num_rows: int = 64, *, seed: int = 0) -> TaggedTexts:
    """Return rows with spans of one or two words, and some without any."""
    draw = random.Random(seed)
    rows = []
    for _ in range(num_rows):
        words = [draw.choice(("where", "is", "my", "money", "lost", "card", "the", "back")) for _ in range(4)]
        part, label = draw.choice(((str(draw.randrange(1000)), "number"), ("parcel late", "state"), ("refund", None)))
        words.insert(draw.randrange(5), part)
        text = " ".join(words)
        start = text.index(part)
        spans = (LabelledSpan(start, start + len(part), label),) if label else ()
        rows.append(TaggedText(text, spans))
    return TaggedTexts(rows)


def quick_options(base, **changes) -> TaggerOptions:
    """Return options for a few quick epochs on a tiny encoder."""
    settings = {"epochs": 4, "batch_size": 4, "held_out_share": 0.2, "learning_rate": 2e-2, "device": "cpu"}
    quiet = {"show_progress": False, "track": "none"}
    return TaggerOptions(base=str(base), **settings | quiet | changes)
