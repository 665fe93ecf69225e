"""Hard negatives: documents that resemble an answer but are not one."""

from collections.abc import Callable, Sequence

import numpy as np

from llms.arrays import FloatArray
from llms.finetuning.data.pair_relations import KnownPositives, same_text, unique_texts
from llms.finetuning.data.pairs import TextPair
from llms.finetuning.data.splits import draw

_LOOKED_AT = 50  # nearest documents of a query beyond those wanted: most of them may be answers


def nearest_negatives(
    pairs: Sequence[TextPair],
    known: KnownPositives,
    *,
    embed: Callable[[list[str], str], FloatArray],
    count: int,
    max_similarity: float,
) -> list[tuple[str, ...]]:
    """Return for each pair the `count` documents nearest to its query that do not answer it, nearest first.

    A document that is nearly as near as the answer itself is left out: it often is an answer that nobody marked.

    Args:
        embed: (texts, "query" or "document") -> unit vectors (texts, dimension).
        max_similarity: a negative's cosine is at most this share of that of the pair's own document, both counted
            from the mean over all documents.

    References:
        Moreira et al., "NV-Retriever: improving text embedding models with effective hard-negative mining", 2024,
        section 4, "TopK-PercPos".
    """
    documents = unique_texts(pair.document for pair in pairs)
    index_of = {same_text(document): index for index, document in enumerate(documents)}
    document_vectors = embed(documents, "document")
    query_vectors = embed([pair.query for pair in pairs], "query")
    found: list[tuple[str, ...]] = []
    for pair, vector in zip(pairs, query_vectors, strict=True):
        cosines = document_vectors @ vector  # (documents,)
        usual = float(cosines.mean())  # of some encoders far above 0
        most = usual + max_similarity * (float(cosines[index_of[same_text(pair.document)]]) - usual)
        nearest = np.argsort(-cosines, kind="stable")
        allowed = nearest[cosines[nearest] <= most][: count + _LOOKED_AT]
        negatives = [documents[index] for index in allowed if not known.covers(pair.query, documents[index])]
        found.append(tuple(negatives[:count]))
    return found


def pick_negatives(
    query: str, candidates: Sequence[str], pool: Sequence[str], known: KnownPositives, *, count: int, seed: int
) -> tuple[str, ...]:
    """Return up to `count` documents that do not answer the query: of the candidates in order, then drawn ones.

    Args:
        candidates: what a retriever found, best first; may hold answers, which are left out.
        pool: documents to draw from where the candidates do not suffice.

    Example:
        >>> known = KnownPositives.from_pairs([TextPair("q", "a")])
        >>> pick_negatives("q", ["A", "b"], ["a", "b", "c"], known, count=2, seed=0)
        ('b', 'c')
    """
    chosen = [text for text in unique_texts(candidates) if not known.covers(query, text)][:count]
    taken = {same_text(text) for text in chosen}
    if len(chosen) < count and pool:
        generator = np.random.default_rng(int.from_bytes(draw(seed, query)[:8], "big"))
        for index in generator.permutation(len(pool)):
            text = pool[int(index)]
            if same_text(text) not in taken and not known.covers(query, text):
                chosen.append(text)
                taken.add(same_text(text))
            if len(chosen) == count:
                break
    return tuple(chosen)
