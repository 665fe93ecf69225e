"""Candidate lists for rerankers, made of pairs: what answers a query among what does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llms.finetuning.data.hard_negatives import pick_negatives
from llms.finetuning.data.pair_relations import KnownPositives, merge_pairs, same_text, split_pairs, unique_texts
from llms.finetuning.data.pairs import TextPair, TextPairs

if TYPE_CHECKING:
    from llms.finetuning.reranker.options import RerankerOptions


Miner = Callable[[str], Sequence[str]]
_HELD_OUT_CANDIDATES = 20  # wrong ones beside the answers of a held-out query


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateList:
    """A query, its candidates, and the score that each should have."""

    query: str
    documents: tuple[str, ...]
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerRows:
    """Lists to learn from, each with its answer first where it has one, and lists that judge."""

    train: list[CandidateList]
    held_out: list[CandidateList]


def prepare_lists(train: TextPairs, options: "RerankerOptions", *, mine: Miner | None = None) -> RerankerRows:
    """Return a list for each pair that belongs together: its document, and others that do not answer the query.

    Raises:
        TrainingDataError: if rows contradict each other or there are too few.
    """
    pairs = merge_pairs(train.rows)
    known = KnownPositives.from_pairs(pairs)
    kept, held_out = split_pairs(pairs, held_out_share=options.held_out_share, seed=options.seed)
    picker = _Picker(known, pairs=kept, mine=mine, seed=options.seed)
    lists = [picker.around_answer(pair, count=options.num_negatives) for pair in kept if pair.is_positive]
    if options.loss == "bce":  # a list without an answer has no order to learn, but a level
        lists += picker.without_answer()
    judging = _Picker(known, pairs=held_out, pool=unique_texts(pair.document for pair in pairs), mine=mine, seed=0)
    queries = unique_texts(pair.query for pair in held_out if pair.is_positive)
    return RerankerRows(train=lists, held_out=[judging.around_query(query) for query in queries])


class _Picker:
    """Candidates for queries; what a query's pairs say comes before what is mined, and that before what is drawn."""

    def __init__(
        self,
        known: KnownPositives,
        *,
        pairs: Sequence[TextPair],
        mine: Miner | None,
        seed: int,
        pool: Sequence[str] | None = None,
    ) -> None:
        self.known = known
        self.mine = mine
        self.seed = seed
        self.pool = unique_texts(pair.document for pair in pairs) if pool is None else pool
        self.pairs_of: dict[str, list[TextPair]] = {}
        for pair in pairs:
            self.pairs_of.setdefault(same_text(pair.query), []).append(pair)
        self.mined: dict[str, Sequence[str]] = {}

    def around_answer(self, pair: TextPair, *, count: int) -> CandidateList:
        """Return the document of `pair` and rivals: those that are given, and `count` more."""
        score = 1.0 if pair.score is None else pair.score
        return self._with_rivals(pair.query, {pair.document: score}, pair.hard_negatives, count=count)

    def around_query(self, query: str) -> CandidateList:
        """Return all documents of a query that has an answer, and as many more as a search would find."""
        pairs = self.pairs_of[same_text(query)]
        answers = {pair.document: 1.0 for pair in pairs if pair.is_positive}
        given = [negative for pair in pairs for negative in pair.hard_negatives]
        return self._with_rivals(query, answers, given, count=_HELD_OUT_CANDIDATES)

    def without_answer(self) -> list[CandidateList]:
        """Return the documents of queries that only have wrong ones."""
        lists = []
        for pairs in self.pairs_of.values():
            if not any(pair.is_positive for pair in pairs):
                scores = {pair.document: pair.score or 0.0 for pair in pairs}
                lists.append(_to_list(pairs[0].query, scores))
        return lists

    def _with_rivals(self, query: str, answers: dict[str, float], given: Sequence[str], *, count: int) -> CandidateList:
        low = {pair.document: pair.score or 0.0 for pair in self.pairs_of[same_text(query)] if not pair.is_positive}
        rivals = dict.fromkeys(given, 0.0) | low
        taken = {same_text(text) for text in (*answers, *rivals)}
        candidates = [text for text in self._mine(query) if same_text(text) not in taken]
        pool = [text for text in self.pool if same_text(text) not in taken]
        picked = pick_negatives(query, candidates, pool, self.known, count=count, seed=self.seed)
        return _to_list(query, answers | rivals | dict.fromkeys(picked, 0.0))

    def _mine(self, query: str) -> Sequence[str]:
        if self.mine is None:
            return ()
        if query not in self.mined:
            self.mined[query] = self.mine(query)
        return self.mined[query]


def _to_list(query: str, scores: dict[str, float]) -> CandidateList:
    return CandidateList(query=query, documents=tuple(scores), targets=tuple(scores.values()))
