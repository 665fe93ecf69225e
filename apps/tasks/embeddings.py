"""Task `embeddings`: pairs or labelled texts to embeddings, and their ranking before and after."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from apps.tasks.task import REPORT_SHARE, Figures, FinetuningTask
from llms import LocalEmbeddings
from llms.errors import TrainingDataError
from llms.finetuning import EmbeddingsOptions, finetune_embeddings, read_labelled_texts
from llms.finetuning.data import (
    DataReport,
    KnownPositives,
    LabelledTexts,
    TextPairs,
    check_labelled_texts,
    check_training_rows,
    merge_pairs,
    split_pairs,
    split_rows,
)
from llms.finetuning.embeddings import Evaluator, ScoreEvaluator, evaluator_of_labels, evaluator_of_pairs
from llms.finetuning.trainer import TrainedModel
from llms.manifest import EmbeddingsManifest

_Rows = TextPairs | LabelledTexts
_ROLES: tuple[Literal["query", "document"], ...] = ("query", "document")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsData(PairData):
    """Where the pairs lie; or labelled texts, texts of one label belong together, where `label_column` is named."""

    text_column: str = "text"
    label_column: str | None = None


class EmbeddingsTask(FinetuningTask[EmbeddingsData, _Rows, EmbeddingsOptions]):
    """A vector for each text, near those of texts that belong with it."""

    name = "embeddings"
    data_kind = EmbeddingsData
    options_kind = EmbeddingsOptions
    manifest_kind = EmbeddingsManifest

    @override
    def read(self, path: Path, data: EmbeddingsData) -> _Rows:
        if data.label_column is None:
            return read_pair_file(path, data)
        return read_labelled_texts(path, text_column=data.text_column, label_column=data.label_column)

    @override
    def check(self, train: _Rows, test: _Rows | None) -> DataReport:
        if isinstance(train, LabelledTexts):
            return check_labelled_texts(train, test if isinstance(test, LabelledTexts) else None)
        return check_pairs(train, test if isinstance(test, TextPairs) else None)

    @override
    def keep_apart(self, rows: _Rows, options: EmbeddingsOptions) -> tuple[_Rows, _Rows]:
        if isinstance(rows, TextPairs):
            return keep_pairs_apart(rows, options)
        check_training_rows(rows.rows)
        train, test = split_rows(rows.rows, held_out_share=REPORT_SHARE, seed=options.seed)
        return LabelledTexts(train, rows.rejected), LabelledTexts(test)

    @override
    def finetune(self, train: _Rows, folder: Path, options: EmbeddingsOptions) -> TrainedModel:
        return finetune_embeddings(train, folder, options)

    @override
    def count_held_out(self, train: _Rows, options: EmbeddingsOptions, trained: TrainedModel) -> int:
        if isinstance(train, LabelledTexts):
            return len(split_rows(train.rows, held_out_share=options.held_out_share, seed=options.seed)[1])
        pairs = merge_pairs(train.rows)
        return len(split_pairs(pairs, held_out_share=options.held_out_share, seed=options.seed)[1])

    @override
    def measure(self, folder: Path, train: _Rows, test: _Rows, options: EmbeddingsOptions) -> Figures:
        evaluator = _evaluator(train, test, options)
        texts = [text.text for text in sorted(evaluator.texts, key=lambda text: text.row)]
        return Figures(
            metrics=_measure(evaluator, LocalEmbeddings(folder, device=options.device, precision=options.precision)),
            baselines={
                BASE_NAME: _measure(
                    evaluator, LocalEmbeddings(options.base, device=options.device, precision=options.precision)
                ),
                WORDS_NAME: evaluator.measure(embed_by_words(texts)),
            },
        )


def _evaluator(train: _Rows, test: _Rows, options: EmbeddingsOptions) -> Evaluator:
    if isinstance(train, LabelledTexts) and isinstance(test, LabelledTexts):
        sides = ([(row.text, row.label) for row in rows.rows] for rows in (test, train))
        return evaluator_of_labels(*sides, seed=options.seed)
    if not (isinstance(train, TextPairs) and isinstance(test, TextPairs)):
        msg = f"test rows must be of the kind of the training rows, {type(train).__name__}, got {type(test).__name__}"
        raise TrainingDataError(msg)
    if any(pair.score is not None and 0 < pair.score < 1 for pair in test.rows):
        return ScoreEvaluator(test.rows)
    if not any(pair.is_positive for pair in test.rows):
        msg = "no test pair belongs together, so there is nothing to find; add pairs with a score of 1"
        raise TrainingDataError(msg)
    known = KnownPositives.from_pairs([*train.rows, *test.rows])
    return evaluator_of_pairs(test.rows, train.rows, known, seed=options.seed)


def _measure(evaluator: Evaluator, embeddings: LocalEmbeddings) -> dict[str, float]:
    vectors = np.zeros((len(evaluator.texts), embeddings.dimension), dtype=np.float32)
    for role in _ROLES:
        texts = [text for text in evaluator.texts if text.role == role]
        if texts:
            vectors[[text.row for text in texts]] = embeddings.embed_array([text.text for text in texts], role=role)
    return evaluator.measure(vectors)
