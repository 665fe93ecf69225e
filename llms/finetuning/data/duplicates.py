"""Near-duplicates among texts, by their character n-grams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.texts.scripts import is_chinese

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


MIN_SIMILARITY = 0.8
_NGRAM_LENGTHS = (4,)
_CHINESE_NGRAM_LENGTHS = (2, 3)  # a word has about two characters
CHINESE_SHARE = 0.5  # of its letters, from which on a text is taken for Chinese
_BLOCK_CELLS = 2**22  # bounds the memory of one product where all texts are alike


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate:
    """A text, the text that is most like it, and the cosine between them."""

    text: str
    twin: str
    similarity: float


class NearTextIndex:
    """Texts among which near twins are found: TF-IDF over 4-grams of characters, Chinese over 2- and 3-grams.

    Args:
        texts: the texts that can be found.
        weighed_with: further texts that say how rare an n-gram is, usually those that are looked for.
    """

    def __init__(self, texts: Sequence[str], *, weighed_with: Sequence[str] = ()) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._texts = texts
        self._vectorizer = TfidfVectorizer(analyzer=_ngrams, sublinear_tf=True, dtype=np.float32)
        both = self._vectorizer.fit_transform([*texts, *weighed_with])
        self._vectors = both[: len(texts)]

    def find_near_duplicates(
        self, texts: Sequence[str], *, min_similarity: float = MIN_SIMILARITY
    ) -> list[NearDuplicate | None]:
        """Return for each text the one of the index that is most like it, if it is like enough."""
        return self._find(self._vectorizer.transform(texts), texts, min_similarity, leave_out_itself=False)

    def find_near_duplicates_within(self, *, min_similarity: float = MIN_SIMILARITY) -> list[NearDuplicate | None]:
        """Return for each text of the index the other one that is most like it, if it is like enough."""
        return self._find(self._vectors, self._texts, min_similarity, leave_out_itself=True)

    def _find(
        self, vectors: "csr_matrix", texts: Sequence[str], min_similarity: float, *, leave_out_itself: bool
    ) -> list[NearDuplicate | None]:
        twins: list[NearDuplicate | None] = []
        for start, block in _products(vectors, self._vectors):
            for row in range(block.shape[0]):
                cells = slice(block.indptr[row], block.indptr[row + 1])
                similarities, columns = block.data[cells], block.indices[cells]
                if leave_out_itself:
                    similarities = np.where(columns == start + row, 0, similarities)
                # summing float32 can end a hair below
                best = _first_largest(similarities, columns) if similarities.size else None
                if best is None or similarities[best] < min_similarity - 1e-6:
                    twins.append(None)
                else:
                    twin = self._texts[columns[best]]
                    similarity = round(min(float(similarities[best]), 1.0), 3)
                    twins.append(NearDuplicate(text=texts[start + row], twin=twin, similarity=similarity))
        return twins


def _first_largest(similarities: npt.NDArray[np.float32], columns: npt.NDArray[np.int32]) -> int:
    """Return the index of the largest similarity; of equals the one with the lowest column."""
    largest = np.flatnonzero(similarities == similarities.max())
    return int(largest[np.argmin(columns[largest])])


def _products(left: "csr_matrix", right: "csr_matrix") -> Iterator[tuple[int, Any]]:
    """Yield (first row, left rows x right rows) block by block."""
    num_rows = max(1, min(512, _BLOCK_CELLS // max(1, right.shape[0])))
    transposed = right.T.tocsr()
    for start in range(0, left.shape[0], num_rows):
        yield start, left[start : start + num_rows] @ transposed


def _ngrams(text: str) -> list[str]:
    folded = " ".join(text.casefold().split())
    lengths = _CHINESE_NGRAM_LENGTHS if is_chinese(folded, min_share=CHINESE_SHARE) else _NGRAM_LENGTHS
    ngrams = [folded[start : start + length] for length in lengths for start in range(len(folded) - length + 1)]
    return ngrams or [folded]  # a text shorter than an n-gram is one
