"""Task `tagger`: tagged texts to a tagger and its figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from typing_extensions import override

from apps.tasks.task import REPORT_SHARE, DataOptions, Figures, FinetuningTask, check_texts, most_frequent
from llms import LocalTagger, Tagging
from llms.errors import TrainingDataError
from llms.finetuning import TaggerOptions, finetune_tagger, read_tagged_texts
from llms.finetuning.data import DataReport
from llms.finetuning.report import ErrorExample, pick_errors
from llms.finetuning.tagger import TaggedText, TaggedTexts, check_tagged_texts, split_tagged_texts
from llms.finetuning.trainer import TrainedModel
from llms.manifest import TaggerManifest
from llms.metrics import expected_calibration_error, reliability_bins
from llms.tagger import TagSpan, entity_report
from llms.texts import token_spans

_MAX_ERRORS = 50
_LONGEST_WORDS = 12  # of a span that is looked up; a Chinese character is a word
_NONE = "(none)"

Span: TypeAlias = tuple[int, int, str]  # start and end (exclusive) in characters, label


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggerData(DataOptions):
    """Where the tagged texts lie.

    Attributes:
        token_separator: what tokens are joined with; None is a space, and nothing for a file in Chinese.
        tag_names: what tags that are numbers mean, divided by commas, from 0 on.
    """

    token_separator: str | None = None
    tag_names: str | None = None


class TaggerTask(FinetuningTask[TaggerData, TaggedTexts, TaggerOptions]):
    """Labelled spans in each text."""

    name = "tagger"
    data_kind = TaggerData
    options_kind = TaggerOptions
    manifest_kind = TaggerManifest

    @override
    def read(self, path: Path, data: TaggerData) -> TaggedTexts:
        names = [name.strip() for name in data.tag_names.split(",")] if data.tag_names else None
        return read_tagged_texts(path, separator=data.token_separator, tag_names=names)

    @override
    def check(self, train: TaggedTexts, test: TaggedTexts | None) -> DataReport:
        error = None
        try:
            check_tagged_texts(train.rows)
        except TrainingDataError as found:
            error = found
        return check_texts(
            _labelled(train.rows),
            _labelled(test.rows) if test else None,
            rejected=(train.rejected, test.rejected if test else ()),
            error=error,
        )

    @override
    def keep_apart(self, rows: TaggedTexts, options: TaggerOptions) -> tuple[TaggedTexts, TaggedTexts]:
        check_tagged_texts(rows.rows)
        train, test = split_tagged_texts(rows.rows, held_out_share=REPORT_SHARE, seed=options.seed)
        return TaggedTexts(train, rows.rejected), TaggedTexts(test)

    @override
    def finetune(self, train: TaggedTexts, folder: Path, options: TaggerOptions) -> TrainedModel:
        return finetune_tagger(train, folder, options)

    @override
    def count_held_out(self, train: TaggedTexts, options: TaggerOptions, trained: TrainedModel) -> int:
        _, held_out = split_tagged_texts(train.rows, held_out_share=options.held_out_share, seed=options.seed)
        return len(held_out)

    @override
    def measure(self, folder: Path, train: TaggedTexts, test: TaggedTexts, options: TaggerOptions) -> Figures:
        tagger = LocalTagger(folder, device=options.device, precision=options.precision)
        replies = tagger.batch([row.text for row in test.rows])
        expected = [_spans(row) for row in test.rows]
        report = entity_report(expected, [_found(reply) for reply in replies])
        spans = [(span, wanted) for reply, wanted in zip(replies, expected, strict=True) for span in reply.spans]
        sure = [span.probability for span, _ in spans]
        right = [(span.start, span.end, span.label) in wanted for span, wanted in spans]
        known = _look_up(train.rows, [row.text for row in test.rows])
        return Figures(
            metrics=_averages(report) | ({"ece": expected_calibration_error(sure, right)} if spans else {}),
            baselines={"spans seen in training": _averages(entity_report(expected, known))},
            entities=report,
            reliability=reliability_bins(sure, right) if spans else (),
            errors=pick_errors(_errors(test.rows, replies), limit=_MAX_ERRORS),
        )

    @override
    def count_labels(self, train: TaggedTexts) -> dict[str, int]:
        return most_frequent(Counter(label for _, labels in _labelled(train.rows) for label in labels))


def _labelled(rows: Sequence[TaggedText]) -> list[tuple[str, list[str]]]:
    """Return each text with the labels that occur in it."""
    return [(row.text, sorted({span.label for span in row.spans})) for row in rows]


def _spans(row: TaggedText) -> set[TagSpan]:
    return {(span.start, span.end, span.label) for span in row.spans}


def _found(reply: Tagging) -> set[TagSpan]:
    return {(span.start, span.end, span.label) for span in reply.spans}


def _averages(report: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    micro = report["averages"]["micro"]
    return {
        "micro_f1": micro["f1"],
        "micro_precision": micro["precision"],
        "micro_recall": micro["recall"],
        "macro_f1": report["averages"]["macro"]["f1"],
    }


def _look_up(train: Sequence[TaggedText], texts: Sequence[str]) -> list[list[TagSpan]]:
    """Return in each text the spans that the training texts label, longest first, from left to right.

    References:
        Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 shared task", CoNLL 2003, for this baseline.
    """
    labels: dict[str, Counter[str]] = {}
    for row in train:
        for span in row.spans:
            labels.setdefault(row.text[span.start : span.end], Counter())[span.label] += 1
    label_of = {term: counts.most_common(1)[0][0] for term, counts in labels.items()}
    return [_look_up_in(text, label_of) for text in texts]


def _look_up_in(text: str, label_of: dict[str, str]) -> list[TagSpan]:
    words = token_spans(text)
    spans: list[TagSpan] = []
    index = 0
    while index < len(words):
        start = words[index][0]
        ends = [end for _, end in words[index : index + _LONGEST_WORDS]]
        size = next((size for size in range(len(ends), 0, -1) if text[start : ends[size - 1]] in label_of), 0)
        if size:
            spans.append((start, ends[size - 1], label_of[text[start : ends[size - 1]]]))
        index += size or 1
    return spans


def _errors(rows: Sequence[TaggedText], replies: Sequence[Tagging]) -> list[ErrorExample]:
    """Return the texts whose spans differ, with the spans that only one side has."""
    examples = []
    for row, reply in zip(rows, replies, strict=True):
        wanted, found = _spans(row), _found(reply)
        sure = [span.probability for span in reply.spans if (span.start, span.end, span.label) not in wanted]
        examples.append(
            ErrorExample(
                text=row.text,
                expected=_as_text(row.text, wanted - found),
                predicted=_as_text(row.text, found - wanted),
                probability=max(sure, default=None),
            )
        )
    return [_with_reason(example) for example in examples]


def _with_reason(example: ErrorExample) -> ErrorExample:
    # every text has spans of its own, so that counting kinds of mistakes would say nothing
    kind = "missed" if example.predicted == _NONE else "too much" if example.expected == _NONE else "mistaken"
    return example.model_copy(update={"reason": kind})


def _as_text(text: str, spans: Iterable[TagSpan]) -> str:
    return "; ".join(f"{label}: {text[start:end]}" for start, end, label in sorted(spans)) or _NONE
