"""Entity metrics: a span counts only if start, end and label are right, as in CoNLL's own script.

The figures and their table are those of seqeval, so that they can be compared with published ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llms.errors import OptionValueError
from llms.tagger.scheme import TagSpan

_COLUMNS = ("precision", "recall", "f1", "support")


def entity_report(expected: Sequence[Iterable[TagSpan]], predicted: Sequence[Iterable[TagSpan]]) -> dict[str, Any]:
    """Return precision, recall, F1 and support per label with micro, macro and weighted averages.

    A span that occurs twice in a text counts once. What has no spans to divide by is 0.

    Args:
        expected: the right spans of each text.
        predicted: the spans found in each text, in the same order of texts.

    Returns:
        `classes` and `averages`, as `per_class_report` gives them.

    Raises:
        OptionValueError: if the two differ in length.

    Example:
        >>> report = entity_report([[(0, 2, "PER"), (3, 4, "LOC")]], [[(0, 2, "PER"), (3, 5, "LOC")]])
        >>> report["classes"]["LOC"]["f1"], report["averages"]["micro"]["f1"]
        (0.0, 0.5)

    References:
        Nakayama, "seqeval: a Python framework for sequence labeling evaluation", 2018.
    """
    if len(expected) != len(predicted):
        msg = f"expected one list of spans per text, got {len(expected)} expected and {len(predicted)} predicted"
        raise OptionValueError(msg)
    wanted, found = _as_set(expected), _as_set(predicted)
    right, support, guesses = (Counter(label for *_, label in spans) for spans in (wanted & found, wanted, found))
    classes = {
        label: _row(right[label], guesses[label], support[label]) for label in sorted(support.keys() | guesses.keys())
    }
    rows = list(classes.values())
    return {
        "classes": classes,
        "averages": {
            "micro": _row(len(wanted & found), len(found), len(wanted)),
            "macro": _mean(rows, [1] * len(rows), len(wanted)),
            "weighted": _mean(rows, [row["support"] for row in rows], len(wanted)),
        },
    }


def _as_set(texts: Sequence[Iterable[TagSpan]]) -> set[tuple[int, int, int, str]]:
    return {(number, start, end, label) for number, spans in enumerate(texts) for start, end, label in spans}


def _row(right: int, guesses: int, support: int) -> dict[str, float]:
    return {
        "precision": right / guesses if guesses else 0.0,
        "recall": right / support if support else 0.0,
        "f1": 2 * right / (guesses + support) if guesses + support else 0.0,
        "support": support,
    }


def _mean(rows: Sequence[Mapping[str, float]], weights: Sequence[float], support: int) -> dict[str, float]:
    total = sum(weights)
    means = {
        column: sum(row[column] * weight for row, weight in zip(rows, weights, strict=True)) / total if total else 0.0
        for column in _COLUMNS[:3]
    }
    return {**means, "support": support}


def format_report(report: Mapping[str, Any], *, digits: int = 2) -> str:
    """Return a report as a text table in the layout of scikit-learn and seqeval.

    Args:
        report: from `entity_report`, `per_class_report` or `multi_label_report`.
        digits: after the point.

    Example:
        >>> print(format_report(entity_report([[(0, 2, "PER")]], [[(0, 2, "PER")]])))
                      precision    recall  f1-score   support
        <BLANKLINE>
                 PER       1.00      1.00      1.00         1
        <BLANKLINE>
           micro avg       1.00      1.00      1.00         1
           macro avg       1.00      1.00      1.00         1
        weighted avg       1.00      1.00      1.00         1
    """
    averages = {f"{name} avg": row for name, row in report["averages"].items()}
    width = max([len("weighted avg"), *map(len, report["classes"])])

    def line(name: str, row: Mapping[str, float]) -> str:
        figures = "".join(f" {row[column]:>9.{digits}f}" for column in _COLUMNS[:3])
        return f"{name:>{width}} {figures} {row['support']:>9}"

    head = " " * width + " " + "".join(f" {name:>9}" for name in ("precision", "recall", "f1-score", "support"))
    classes = [line(name, row) for name, row in report["classes"].items()]
    return "\n".join([head, "", *classes, "", *(line(name, row) for name, row in averages.items())])
