"""Task `reranker`: pairs to a reranker, and its ranking of candidates before and after."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from apps.tasks.pair_files import (
    BASE_NAME,
    WORDS_NAME,
    PairData,
    check_pairs,
    embed_by_words,
    keep_pairs_apart,
    read_pair_file,
)
from apps.tasks.task import Figures, FinetuningTask
from llms import LocalEmbeddings, LocalReranker
from llms.arrays import FloatArray
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning import RerankerOptions, finetune_reranker
from llms.finetuning.data import (
    DataReport,
    KnownPositives,
    TextPair,
    TextPairs,
    draw,
    merge_pairs,
    pick_negatives,
    same_text,
    split_pairs,
    unique_texts,
)
from llms.finetuning.report import ErrorExample, pick_errors
from llms.finetuning.reranker import CandidateList, measure_lists
from llms.finetuning.trainer import TrainedModel
from llms.manifest import RerankerManifest

_Score = Callable[[str, Sequence[str]], FloatArray]
_NUM_DRAWN = 20  # documents beside those that the test pairs give a query
_MAX_QUERIES = 500  # of more test queries so many are drawn: each is read together with all its candidates
_MAX_ERRORS = 50


class RerankerTask(FinetuningTask[PairData, TextPairs, RerankerOptions]):
    """How well a document answers a query."""

    name = "reranker"
    data_kind = PairData
    options_kind = RerankerOptions
    manifest_kind = RerankerManifest

    @override
    def read(self, path: Path, data: PairData) -> TextPairs:
        return read_pair_file(path, data)

    @override
    def check(self, train: TextPairs, test: TextPairs | None) -> DataReport:
        return check_pairs(train, test)

    @override
    def keep_apart(self, rows: TextPairs, options: RerankerOptions) -> tuple[TextPairs, TextPairs]:
        return keep_pairs_apart(rows, options)

    @override
    def finetune(self, train: TextPairs, folder: Path, options: RerankerOptions) -> TrainedModel:
        return finetune_reranker(train, folder, options)

    @override
    def count_held_out(self, train: TextPairs, options: RerankerOptions, trained: TrainedModel) -> int:
        pairs = merge_pairs(train.rows)
        return len(split_pairs(pairs, held_out_share=options.held_out_share, seed=options.seed)[1])

    @override
    def measure(self, folder: Path, train: TextPairs, test: TextPairs, options: RerankerOptions) -> Figures:
        lists, num_queries = _candidate_lists(train.rows, test.rows, seed=options.seed)
        reranker = LocalReranker(folder, device=options.device, precision=options.precision)
        scores = [reranker.score(each.query, each.documents) for each in lists]
        notes = []
        if len(lists) < num_queries:
            notes.append(f"test queries that the figures rest on: {len(lists)} of {num_queries}, drawn by the seed")
        return Figures(
            metrics=measure_lists(lists, np.concatenate(scores)),
            baselines=_measure_base(lists, options) | {WORDS_NAME: _measure(lists, _score_by_words)},
            errors=pick_errors(_errors(lists, scores), limit=_MAX_ERRORS),
            notes=notes,
        )


def _candidate_lists(
    train: Sequence[TextPair], test: Sequence[TextPair], *, seed: int
) -> tuple[list[CandidateList], int]:
    """Return the test queries with their documents and drawn ones, and how many queries there are in all."""
    known = KnownPositives.from_pairs([*train, *test])
    pool = unique_texts(pair.document for pair in (*test, *train))
    pairs_of: dict[str, list[TextPair]] = {}
    for pair in test:
        pairs_of.setdefault(same_text(pair.query), []).append(pair)
    asked = sorted(
        (query for query, pairs in pairs_of.items() if any(pair.is_positive for pair in pairs)),
        key=lambda query: draw(seed, query),
    )
    if not asked:
        msg = "no test pair belongs together, so there is nothing to find; add pairs with a score of 1"
        raise TrainingDataError(msg)
    return [_candidates(pairs_of[query], pool, known, seed=seed) for query in asked[:_MAX_QUERIES]], len(asked)


def _candidates(pairs: Sequence[TextPair], pool: Sequence[str], known: KnownPositives, *, seed: int) -> CandidateList:
    query = pairs[0].query
    answers = unique_texts(pair.document for pair in pairs if pair.is_positive)
    wrong = [text for pair in pairs for text in pair.hard_negatives]
    wrong += [pair.document for pair in pairs if not pair.is_positive]
    drawn = pick_negatives(query, (), pool, known, count=_NUM_DRAWN, seed=seed)
    documents = tuple(unique_texts([*answers, *wrong, *drawn]))
    targets = [1.0] * len(answers) + [0.0] * (len(documents) - len(answers))
    return CandidateList(query=query, documents=documents, targets=tuple(targets))


def _measure(lists: Sequence[CandidateList], score: _Score) -> dict[str, float]:
    return measure_lists(lists, np.concatenate([score(each.query, each.documents) for each in lists]))


def _measure_base(lists: Sequence[CandidateList], options: RerankerOptions) -> dict[str, dict[str, float]]:
    """Return the figures of the base: as the cross-encoder it is, or by the vectors of an encoder; or none."""
    try:
        base = LocalReranker(options.base, device=options.device, precision=options.precision)
        return {BASE_NAME: _measure(lists, base.score)}
    except ModelFolderError:
        pass  # the base is no cross-encoder, and becomes one only by training
    try:
        embeddings = LocalEmbeddings(options.base, device=options.device, precision=options.precision)
        return {f"{BASE_NAME}, by its vectors": _measure(lists, _score_by_vectors(embeddings))}
    except ModelFolderError:
        return {}


def _score_by_vectors(embeddings: LocalEmbeddings) -> _Score:
    def score(query: str, documents: Sequence[str]) -> FloatArray:
        cosines: FloatArray = embeddings.embed_array(documents) @ embeddings.embed_array([query], role="query")[0]
        return cosines

    return score


def _score_by_words(query: str, documents: Sequence[str]) -> FloatArray:
    vectors = embed_by_words([query, *documents])
    cosines: FloatArray = vectors[1:] @ vectors[0]
    return cosines


def _errors(lists: Sequence[CandidateList], scores: Sequence[FloatArray]) -> list[ErrorExample]:
    """Return the queries whose best document is no answer; of an answer, the one that the test pairs name first."""
    examples = []
    for each, own in zip(lists, scores, strict=True):
        best = int(own.argmax())
        if each.targets[best] <= 0.5:
            rank = 1 + int((own > own[0]).sum())
            examples.append(
                ErrorExample(
                    text=each.query,
                    expected=each.documents[0],
                    predicted=each.documents[best],
                    probability=float(own[best]),
                    reason=f"the answer stands at place {rank} of {len(own)}",
                )
            )
    return examples
