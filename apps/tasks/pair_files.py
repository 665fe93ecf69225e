"""Files of text pairs, for embeddings and rerankers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apps.tasks.task import REPORT_SHARE, DataOptions, check_texts
from llms.errors import TrainingDataError
from llms.finetuning import TrainingOptions, read_pairs
from llms.finetuning.data import DataReport, TextPairs, merge_pairs, split_pairs, unique_texts

BASE_NAME = "the base model"
WORDS_NAME = "character TF-IDF"
_NUM_FEATURES = 4096
_NGRAM_LENGTHS = (1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairData(DataOptions):
    """Where the pairs lie; what the columns mean stands in `llms.finetuning.data.pairs.read_pairs`."""

    query_column: str = "query"
    document_column: str = "document"
    negative_column: str = "negative"
    score_column: str | None = None
    group_column: str | None = None


def read_pair_file(path: Path, data: PairData) -> TextPairs:
    """Return the pairs of a file."""
    return read_pairs(
        path,
        query_column=data.query_column,
        document_column=data.document_column,
        negative_column=data.negative_column,
        score_column=data.score_column,
        group_column=data.group_column,
    )


def check_pairs(train: TextPairs, test: TextPairs | None) -> DataReport:
    """Return what is known about the queries: whether some are nearly equal, and which test queries were trained."""
    error = None
    try:
        merge_pairs(train.rows)
    except TrainingDataError as found:
        error = found
    sides = [[(text, ()) for text in unique_texts(row.query for row in side.rows)] for side in (train, test) if side]
    return check_texts(
        sides[0],
        sides[1] if test else None,
        rejected=(train.rejected, test.rejected if test else ()),
        error=error,
    )


def keep_pairs_apart(pairs: TextPairs, options: TrainingOptions) -> tuple[TextPairs, TextPairs]:
    """Return (train, test), where a fifth of the queries is kept apart for the figures."""
    train, test = split_pairs(merge_pairs(pairs.rows), held_out_share=REPORT_SHARE, seed=options.seed)
    return TextPairs(train, pairs.rejected), TextPairs(test)


def embed_by_words(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return (texts, features) float32, rows of length 1: TF-IDF over hashed character n-grams, which knows no meaning.

    Example:
        >>> vectors = embed_by_words(["lost card", "card lost", "late parcel"])
        >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
        True
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashed = HashingVectorizer(
        analyzer="char_wb", ngram_range=_NGRAM_LENGTHS, n_features=_NUM_FEATURES, norm=None, alternate_sign=False
    )
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(hashed.transform(texts))
    vectors: npt.NDArray[np.float32] = weighted.toarray().astype(np.float32)
    return vectors
