"""Checks of training rows before training: repeated, contradicting, rare and leaked texts."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from llms.errors import TrainingDataError
from llms.finetuning.data.duplicates import CHINESE_SHARE, NearDuplicate, NearTextIndex
from llms.finetuning.data.examples import ClassifierRow, LabelledTexts, MultiLabelTexts, labels_of
from llms.finetuning.data.labelled_files import check_training_rows
from llms.finetuning.data.labels import is_missing_word
from llms.finetuning.data.report import DataReport, LabelConflict, Leakage, RepeatedText, TextLengths
from llms.finetuning.data.splits import draw
from llms.texts.folding import fold_text, text_key
from llms.texts.scripts import is_chinese

_NUM_EXAMPLES = 20
_FEW_ROWS = 10  # below it a label is learnt by chance
_MAX_NEAR_TEXTS = 30_000  # every text is compared with every other: about 15 s, four times that for twice as many

_Texts = LabelledTexts | MultiLabelTexts
_ByKey = Mapping[str, Sequence[ClassifierRow]]


def check_labelled_texts(
    train: _Texts, test: _Texts | None = None, *, max_near_texts: int = _MAX_NEAR_TEXTS
) -> DataReport:
    """Return what training rows hold that makes a model worse, or its figures better than they are.

    Nothing is changed or refused; `errors` says what training would refuse. All counts are the same for the same
    rows in any order. Ten thousand rows take a few seconds.

    Args:
        train: rows with one label or several.
        test: rows for the figures, to be compared with the training rows.
        max_near_texts: of more distinct texts only so many are compared with each other for near twins.

    Example:
        >>> from llms.finetuning.data.examples import LabelledText
        >>> rows = [LabelledText(text, label) for text, label in [("Hi!", "x"), ("hi", "y"), ("bye", "y")]]
        >>> report = check_labelled_texts(LabelledTexts(rows))
        >>> report.num_duplicates, report.conflicts[0].labels
        (1, ['x', 'y'])
        >>> report.errors[0][:46]
        "1 of 2 labels have a single example: 'x'; add "
    """
    rows = train.rows
    by_key: dict[str, list[ClassifierRow]] = {}
    for row in rows:
        by_key.setdefault(text_key(row.text), []).append(row)
    counts = Counter(label for row in rows for label in labels_of(row))
    conflicts = _conflicts(by_key)
    looked_at = sorted(by_key, key=lambda key: draw(0, key))[:max_near_texts]
    near = _near_duplicates(by_key, looked_at)
    report = DataReport(
        num_rows=len(rows),
        num_rejected=len(train.rejected),
        rejected=list(train.rejected[:_NUM_EXAMPLES]),
        rows_per_label=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        num_without_label=sum(not labels_of(row) for row in rows),
        rare_labels={label: count for label, count in sorted(counts.items()) if count < _FEW_ROWS},
        num_duplicates=len(rows) - len(by_key),
        duplicates=_repeated(by_key),
        num_conflicts=len(conflicts),
        conflicts=conflicts[:_NUM_EXAMPLES],
        num_near=len(near),
        num_near_looked_at=len(looked_at),
        near=near[:_NUM_EXAMPLES],
        lengths=_lengths(rows),
        chinese_share=round(sum(is_chinese(row.text, min_share=CHINESE_SHARE) for row in rows) / max(1, len(rows)), 3),
        leakage=_leakage(by_key, rows, test.rows) if test else None,
        errors=_errors(rows),
    )
    report.warnings.extend(_warnings(report, train, test, num_texts=len(by_key)))
    return report


def _shown_text(rows: Sequence[ClassifierRow]) -> str:
    return min(row.text for row in rows)  # the same whatever the order of rows


def _lines(rows: Sequence[ClassifierRow]) -> list[int]:
    return sorted(row.line for row in rows if row.line is not None)[:_NUM_EXAMPLES]


def _repeated(by_key: _ByKey) -> list[RepeatedText]:
    """Return the texts of several rows, most rows first."""
    repeated = [
        RepeatedText(text=_shown_text(rows), num_rows=len(rows), lines=_lines(rows))
        for rows in by_key.values()
        if len(rows) > 1
    ]
    return sorted(repeated, key=lambda entry: (-entry.num_rows, entry.text))[:_NUM_EXAMPLES]


def _conflicts(by_key: _ByKey) -> list[LabelConflict]:
    conflicts = []
    for rows in by_key.values():
        labels = sorted({", ".join(labels_of(row)) or "(none)" for row in rows})
        if len(labels) > 1:
            conflicts.append(LabelConflict(text=_shown_text(rows), labels=labels, lines=_lines(rows)))
    return sorted(conflicts, key=lambda entry: entry.text)


def _near_duplicates(by_key: _ByKey, keys: Sequence[str]) -> list[NearDuplicate]:
    """Return the near twins among distinct texts, most similar first."""
    texts = sorted(_shown_text(by_key[key]) for key in keys)
    if len(texts) < 2:
        return []
    twins = [twin for twin in NearTextIndex(texts).find_near_duplicates_within() if twin]
    return sorted(twins, key=lambda twin: (-twin.similarity, twin.text))


def _lengths(rows: Sequence[ClassifierRow]) -> TextLengths:
    lengths = [len(row.text) for row in rows] or [0]
    median, p95 = (round(float(value), 1) for value in np.quantile(lengths, [0.5, 0.95]))
    return TextLengths(median=median, p95=p95, max=max(lengths))


def _leakage(by_key: _ByKey, train: Sequence[ClassifierRow], test: Sequence[ClassifierRow]) -> Leakage:
    test_texts = [row.text for row in test]
    is_exact = [text_key(text) in by_key for text in test_texts]
    index = NearTextIndex(sorted(row.text for row in train), weighed_with=test_texts) if train and test else None
    twins = index.find_near_duplicates(test_texts) if index else [None] * len(test_texts)
    num_either = sum(exact or twin is not None for exact, twin in zip(is_exact, twins, strict=True))
    trained = {label for row in train for label in labels_of(row)}
    exact = sorted(text for text, is_leaked in zip(test_texts, is_exact, strict=True) if is_leaked)
    near = [twin for twin, is_leaked in zip(twins, is_exact, strict=True) if twin and not is_leaked]
    return Leakage(
        num_test_rows=len(test),
        num_exact=len(exact),
        num_near=sum(twin is not None for twin in twins),
        num_either=num_either,
        either_share=round(num_either / max(1, len(test)), 3),
        exact=exact[:_NUM_EXAMPLES],
        near=sorted(near, key=lambda twin: (-twin.similarity, twin.text))[:_NUM_EXAMPLES],
        new_labels=sorted({label for row in test for label in labels_of(row)} - trained),
    )


def _errors(rows: Sequence[ClassifierRow]) -> list[str]:
    try:
        check_training_rows(rows)
    except TrainingDataError as error:
        return [str(error)]
    return []


def _warnings(report: DataReport, train: _Texts, test: _Texts | None, *, num_texts: int) -> list[str]:
    warnings = []
    for name, rejected in (("training", train.rejected), ("test", test.rejected if test else [])):
        if rejected:
            warnings.append(
                f"{name} rows set aside: {len(rejected)}, the first in line {rejected[0].line} "
                f"({rejected[0].reason}); correct them, or go on without them"
            )
    warnings += _label_warnings(report, train)
    if report.rare_labels:
        shown = ", ".join(f"{label!r} ({count})" for label, count in list(report.rare_labels.items())[:5])
        warnings.append(
            f"labels with fewer than {_FEW_ROWS} rows: {len(report.rare_labels)}, such as {shown}; "
            "add rows, or merge labels"
        )
    if report.num_conflicts:
        first = report.conflicts[0]
        labels = " and ".join(repr(label) for label in first.labels)
        warnings.append(
            f"texts under different labels: {report.num_conflicts}, such as {first.text!r:.80} under {labels}; "
            "decide on one for each"
        )
    if report.num_duplicates:
        warnings.append(
            f"rows that repeat the text of another: {report.num_duplicates}; remove them, unless texts that come often "
            "are to count more"
        )
    return warnings + _near_warnings(report, num_texts) + (_leakage_warnings(report.leakage) if report.leakage else [])


def _label_warnings(report: DataReport, train: _Texts) -> list[str]:
    warnings = []
    if train.merged:
        shown = "; ".join(f"{entry.label!r} for {', '.join(entry.spellings)}" for entry in train.merged[:5])
        warnings.append(f"labels of several spellings that are read the same count as one: {shown}")
    if missing := [label for label in report.rows_per_label if is_missing_word(label)]:
        shown = ", ".join(f"{label!r} ({report.rows_per_label[label]})" for label in missing[:5])
        warnings.append(
            f"labels that programs write for a missing value: {shown}; leave these cells empty, unless it is meant"
        )
    by_case: dict[str, list[str]] = {}
    for label in report.rows_per_label:
        by_case.setdefault(fold_text(label), []).append(label)
    if alike := [labels for labels in by_case.values() if len(labels) > 1]:
        shown = "; ".join(" and ".join(map(repr, labels)) for labels in alike[:5])
        warnings.append(f"labels that differ in capital letters only: {shown}; write each in one way")
    return warnings


def _near_warnings(report: DataReport, num_texts: int) -> list[str]:
    warnings = []
    if report.num_near:
        warnings.append(
            f"texts nearly equal to another: {report.num_near} of {report.num_near_looked_at}, which makes held-out "
            "figures too good; keep them on one side by a group column, or remove all but one"
        )
    if report.num_near_looked_at < num_texts:
        warnings.append(
            f"texts not compared for near twins: {num_texts - report.num_near_looked_at} of {num_texts}, so there may "
            "be more; raise max_near_texts to compare all"
        )
    return warnings


def _leakage_warnings(leakage: Leakage) -> list[str]:
    warnings = []
    if leakage.num_either:
        warnings.append(
            f"test rows equal or nearly equal to a training text: {leakage.num_either} of {leakage.num_test_rows} "
            f"({leakage.either_share:.1%}), {leakage.num_exact} of them equal; remove them from one side, or report "
            "the figures without them as well"
        )
    if leakage.new_labels:
        shown = ", ".join(repr(label) for label in leakage.new_labels[:5])
        warnings.append(
            f"labels in test rows only: {len(leakage.new_labels)}, such as {shown}; every answer to their rows is "
            "wrong, so add training rows or remove them"
        )
    return warnings
