"""Hybrid LangChain retriever: search by meaning and by words at once."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, run_in_executor
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import override

from llms import above_floor, find_cosine_floor
from llms.arrays import FloatArray
from llms.errors import TuneChainError
from llms.texts import CHINESE_SHARE, is_chinese, is_han
from retrievers.faiss_store import FaissStore, Filter, Scored
from retrievers.fusion import fuse_rankings
from retrievers.parents import assemble_parents, parent_key
from retrievers.store.arguments import check_k
from retrievers.store.filters import parse_filter
from retrievers.store.keyword_index import COMMON_SHARE

# Where the nearest document stands out less than this from the other candidates, the encoder hardly reads the
# question (its language, its names), so its cosines count less; see docs/benchmarks/retrieval.md.
_FULL_CONTRAST = 0.3
_LEAST_TRUST = 0.1
_FEW = 10  # fewer candidates are compared with as many, as if the others had nothing to do with the question
_GROUP_FETCH = 10  # times as many candidates for groups: 1 lost a point on StackFAQ
# The relevance weighs every word; for being a candidate, the rarer ones are enough, and are found in half the time.
_MAX_WORD_SHARE = 0.1
_MOSTLY = 0.5  # of letters; rows of a table may have a header in another language
_SCRIPT_CHARS = 300  # of a document, which tell its script
_Nearest = Mapping[str, tuple[FloatArray, Scored]]  # question -> its vector and what is near it


class HybridRetriever(BaseRetriever):
    """Candidates by meaning (the store) and by words (BM25), in the order of one relevance.

    Each document found has the metadata `relevance`, in [0, 1]: the weighted mean of its cosine to the question and
    of how much of the question's words stand in it, cut at 1; at least the cosine across Chinese and other scripts,
    whose texts share few words. Unlike a rank it can be compared with a threshold, also across questions; see
    `retrievers.threshold.fit_min_relevance`. Cosines count less where none stands out.

    `batch` and `abatch` look all questions up in one search by meaning.

    Attributes:
        store: where the documents lie; it must have been made with keywords.
        k: how many documents are returned; `invoke(question, k=3)` overrides it for one call.
        fetch_k: how many candidates each of the two searches contributes; ten times as many with `group_by`.
        filter: which documents may be found, as in `FaissStore`; that of a call is asked for in addition.
        fusion: "relevance" puts the most relevant first; "rank" goes by reciprocal rank fusion of the two searches.
        word_weight: how much words count beside meaning, which counts 1. Larger where the encoder knows the language
            of the documents badly.
        group_by: a metadata field; documents that have the same value there are texts about one thing, as a question
            and its answers are. The best of them stands for all, with the mean relevance of the two best found, of
            which the best counts twice.
        parents: return the parent of a chunk instead of the chunk (see `retrievers.chunking`): each parent once, at
            the rank of its best chunk, whose span stays in `start`, `end` and `body_start`.
        reranker: puts the first `rerank_k` candidates into its own order, such as `LocalReranker`; it may leave some
            out. The relevance stays what it was.
        min_relevance: documents below it are left out; in [0, 1].
        cosine_floor: the cosine of unrelated texts, from which relevance counts, in [0, 1); None asks the embeddings,
            of which `LocalEmbeddings` measures it in the script of the question. 0 takes cosines as they are.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> store = FaissStore(embedding=HashedEmbeddings())
        >>> _ = store.add_texts(["a red shoe", "the blue sky"], [{"shop": 1}, {"shop": 2}], ids=["shoe", "sky"])
        >>> retriever = HybridRetriever(store=store, k=1)
        >>> retriever.invoke("red shoes")[0].id, retriever.invoke("red shoes", filter={"shop": 2})[0].id
        ('shoe', 'sky')

    References:
        Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023: why scores of known
        range are better summed than ranked.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: FaissStore
    k: int = Field(default=5, ge=1)
    fetch_k: int = Field(default=20, ge=1)
    filter: dict[str, Any] | None = None
    fusion: Literal["relevance", "rank"] = "relevance"
    word_weight: float = Field(default=0.25, gt=0)
    group_by: str | None = None
    parents: bool = False
    reranker: BaseDocumentCompressor | None = None
    rerank_k: int = Field(default=20, ge=1)
    min_relevance: float | None = Field(default=None, ge=0, le=1)
    cosine_floor: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "HybridRetriever":
        if self.filter:
            parse_filter(self.filter)
        if self.parents and self.group_by is not None:
            msg = f"parents=True groups by parent, group_by={self.group_by!r} by another field; choose one"
            raise ValueError(msg)
        return self

    @override
    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter = None,
        nearest: _Nearest | None = None,
    ) -> list[Document]:
        count, condition = self._count(k), self._condition(filter)
        pool_size = count if self.reranker is None else max(count, self.rerank_k)
        is_grouped = self.group_by is not None or self.parents
        limit = None if is_grouped else pool_size
        candidates = self._candidates(query, self._fetch(count), condition, nearest, limit)
        if is_grouped:
            candidates = self._one_per_group(candidates)
        if self.min_relevance is not None:
            candidates = [found for found in candidates if found.metadata["relevance"] >= self.min_relevance]
        if self.reranker is not None and candidates:
            pool = candidates[:pool_size]
            candidates = list(self.reranker.compress_documents(pool, query, callbacks=run_manager.get_child()))
        found = candidates[:count]
        return assemble_parents(self.store, found, condition) if self.parents else found

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        # one body for both: the work is NumPy, SQLite and models, which nothing can await
        def search() -> list[Document]:
            return self._get_relevant_documents(query, run_manager=run_manager.get_sync(), **options)

        return await run_in_executor(None, search)

    @override
    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        nearest = self._nearest_of_all(inputs, return_exceptions=return_exceptions, options=kwargs)
        return super().batch(inputs, config, return_exceptions=return_exceptions, nearest=nearest, **kwargs)

    @override
    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        def search() -> _Nearest | None:
            return self._nearest_of_all(inputs, return_exceptions=return_exceptions, options=kwargs)

        nearest = await run_in_executor(None, search)
        return await super().abatch(inputs, config, return_exceptions=return_exceptions, nearest=nearest, **kwargs)

    def _nearest_of_all(
        self, queries: Sequence[str], *, return_exceptions: bool, options: Mapping[str, Any]
    ) -> _Nearest | None:
        """Return the candidates by meaning of every question; None leaves each to its own call."""
        if len(queries) < 2:
            return None
        fetch, condition = self._fetch(self._count(options.get("k"))), self._condition(options.get("filter"))
        try:
            return self._nearest(queries, fetch, condition)
        except TuneChainError:
            if not return_exceptions:
                raise
            return None  # one bad question must not cost the others their answer

    # --- candidates

    def _count(self, k: int | None) -> int:
        count = self.k if k is None else k
        check_k(count)
        return count

    def _fetch(self, count: int) -> int:
        # a group is judged by its two best texts, so the second must be among the candidates, too
        return max(count, self.fetch_k * (_GROUP_FETCH if self.group_by is not None else 1))

    def _condition(self, condition: Filter) -> Filter:
        if self.filter is None or condition is None:
            return self.filter if condition is None else condition
        return {"$and": [self.filter, condition]}

    def _candidates(
        self, query: str, fetch: int, condition: Filter, nearest: _Nearest | None, limit: int | None
    ) -> list[Document]:
        """Return what either search finds, best first, each with its relevance; at most `limit`."""
        vector, by_meaning = (nearest or self._nearest([query], fetch, condition))[query]
        max_word_share = _MAX_WORD_SHARE if self.fusion == "relevance" else COMMON_SHARE
        by_words = self.store.keyword_ids(query, fetch, filter=condition, max_word_share=max_word_share)
        known = {document.id for document, _ in by_meaning}
        scored = by_meaning + self.store.score_by_ids(vector, [id_ for id_ in by_words if id_ not in known])
        shares = self.store.word_shares(query, [document.page_content for document, _ in scored])
        closeness = self._closeness(query, [score for _, score in scored])
        trust = _trust(closeness)
        values = [
            (trust * near + self.word_weight * share) / (trust + self.word_weight)
            for near, share in zip(closeness, shares, strict=True)
        ]
        is_foreign = _lacks_han if is_chinese(query, min_share=CHINESE_SHARE) else _is_mostly_han
        for index, (document, _) in enumerate(scored):
            # a text in another script shares names and numbers at most, and is not to be blamed for it
            if values[index] < closeness[index] and is_foreign(document.page_content[:_SCRIPT_CHARS]):
                values[index] = closeness[index]
        order = sorted(range(len(values)), key=lambda index: -values[index])
        if self.fusion == "rank":
            indices = {document.id or "": index for index, (document, _) in enumerate(scored)}
            ranking = fuse_rankings([[document.id or "" for document, _ in by_meaning], by_words])
            order = [indices[id_] for id_ in ranking if id_ in indices]
        return [_with_relevance(scored[index][0], min(1.0, values[index])) for index in order[:limit]]

    def _closeness(self, query: str, scores: Sequence[float]) -> list[float]:
        """Return how near each score is to the question, in [0, 1]; unrelated texts are near 0 with every encoder."""
        values = [self.store.relevance(score) for score in scores]
        if self.store.metric != "cosine":
            return values
        floor = self.cosine_floor
        if floor is None:
            floor = find_cosine_floor(self.store.embedding, query)
        return [max(0.0, above_floor(value, floor)) for value in values]

    def _nearest(self, queries: Sequence[str], fetch: int, condition: Filter) -> _Nearest:
        vectors = self.store.embed_queries(queries)
        found = self.store.search_vectors(vectors, fetch, filter=condition)
        return dict(zip(queries, zip(vectors, found, strict=True), strict=True))

    def _one_per_group(self, candidates: Sequence[Document]) -> list[Document]:
        groups: dict[Hashable, list[Document]] = {}
        for document in candidates:
            groups.setdefault(self._group(document), []).append(document)
        if self.parents:
            return [members[0] for members in groups.values()]
        best = [_with_relevance(members[0], _joint_relevance(members)) for members in groups.values()]
        return sorted(best, key=_relevance, reverse=True) if self.fusion == "relevance" else best

    def _group(self, document: Document) -> Hashable:
        if self.group_by is None:
            return parent_key(document)
        value = document.metadata.get(self.group_by)
        return ("id", document.id) if value is None else ("group", repr(value))


def _lacks_han(text: str) -> bool:
    return not any(map(is_han, text))


def _is_mostly_han(text: str) -> bool:
    return is_chinese(text, min_share=_MOSTLY)


def _trust(closeness: Sequence[float]) -> float:
    """Return how far the encoder is to be believed, in (0, 1]: by how much the best candidate stands out."""
    if not closeness:
        return 1.0
    contrast = max(closeness) - sum(closeness) / max(_FEW, len(closeness))
    return max(_LEAST_TRUST, min(1.0, contrast / _FULL_CONTRAST))


def _relevance(document: Document) -> float:
    return float(document.metadata["relevance"])


def _joint_relevance(members: Sequence[Document]) -> float:
    """Return the relevance of a group, whose best members come first."""
    values = [_relevance(document) for document in members[:2]]
    return values[0] if len(values) == 1 else (2 * values[0] + values[1]) / 3


def _with_relevance(document: Document, relevance: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance": relevance}})
