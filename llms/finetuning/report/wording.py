"""Words for the figures and thresholds of a training report."""

import math
import re
from collections.abc import Mapping

from llms.finetuning.report.report import Task, TrainingReport
from llms.texts.visible import visible_text

TASK_WORDS: dict[Task, str] = {
    "classifier": "text classifier",
    "tagger": "tagger of spans in texts",
    "chat": "chat model",
    "embeddings": "text embedding model",
    "reranker": "reranker",
}
_METRIC_WORDS = {
    "ece": "calibration error (ECE)",
    "aurc": "risk over coverage (AURC)",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "samples_f1": "samples F1",
    "subset_accuracy": "exactly right label sets",
    "hamming_loss": "wrong label decisions (Hamming loss)",
    "accepted_share": "accepted share",
    "accepted_accuracy": "accuracy of accepted",
    "auroc": "scope told apart (AUROC)",
    "mrr": "MRR",
    "loss": "loss",
}
_LOWER_IS_BETTER = frozenset({"ece", "aurc", "perplexity", "brier"})
_FEW_TEST_ROWS = 20  # test rows of a label; below, one row moves its recall by more than five points
_MAX_NAMED = 5
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def plain_text(text: str) -> str:
    r"""Return a text without the characters that no eye sees or that turn the direction of writing.

    Example:
        >>> plain_text("pay\u202epal\x07")
        'paypal'
    """
    return visible_text(text, keep_joiners=True)


def show_base_model(base_model: str) -> tuple[str, bool]:
    """Return the name of a base model to show, and whether it is a hub id; of a path only the last part is shown.

    Example:
        >>> show_base_model("org/encoder"), show_base_model("/home/ada/models/mine")
        (('org/encoder', True), ('mine', False))
    """
    if _HUB_ID.fullmatch(base_model):
        return base_model, True
    parts = [part for part in re.split(r"[\\/]", base_model) if part]
    return (parts[-1] if parts else "unnamed"), False


def describe_metric(name: str) -> str:
    """Return the words for a metric's key.

    Example:
        >>> describe_metric("macro_f1"), describe_metric("eval_loss"), describe_metric("ndcg@10")
        ('macro F1', 'held-out loss', 'NDCG@10')
    """
    if name in _METRIC_WORDS:
        return _METRIC_WORDS[name]
    for prefix in ("eval_", "held_out_"):
        if name.startswith(prefix):
            return f"held-out {describe_metric(name.removeprefix(prefix))}"
    words = name.replace("_", " ")
    return re.sub(r"\b(ndcg|map|mrr|bleu|rouge)\b", lambda found: found[0].upper(), words)


def is_lower_better(name: str) -> bool:
    """Return whether a smaller value of a metric is better.

    Example:
        >>> is_lower_better("hamming_loss"), is_lower_better("accuracy")
        (True, False)
    """
    return name.endswith("loss") or name.removeprefix("eval_").removeprefix("held_out_") in _LOWER_IS_BETTER


def format_figure(value: float | None) -> str:
    """Return a figure with three digits, a count as it is, and a dash for what is not there or no number.

    Example:
        >>> format_figure(0.91234), format_figure(1200), format_figure(None), format_figure(float("nan"))
        ('0.912', '1,200', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    is_count = abs(value) >= 2 and float(value).is_integer()
    return f"{value:,.0f}" if is_count else f"{value:.3f}"


def describe_duration(seconds: float) -> str:
    """Return a duration for people.

    Example:
        >>> describe_duration(12.34), describe_duration(192), describe_duration(7384)
        ('12.3 s', '3 min 12 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def describe_size(size_bytes: int) -> str:
    """Return a size for people, in powers of a thousand.

    Example:
        >>> describe_size(91_200_000), describe_size(512)
        ('91.2 MB', '512 bytes')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"


def describe_parameters(trainable: int, total: int) -> str:
    """Return how many weights there are and how many of them were trained.

    Example:
        >>> describe_parameters(300_000, 22_700_000)
        '300,000 of 22,700,000 weights trained (1.3 %)'
    """
    return f"{trainable:,} of {total:,} weights trained ({_percent(trainable / max(1, total))})"


def describe_thresholds(thresholds: Mapping[str, float]) -> list[str]:
    """Return what each threshold does and what it promises, one sentence or two each.

    Example:
        >>> describe_thresholds({"min_in_scope": 0.25})
        ['A text that resembles the training texts less than 0.250 counts as out of scope and is not accepted.']
    """
    sentences = []
    if "min_probability" in thresholds:
        sentences.append(_describe_min_probability(thresholds))
    if "label_set_min_probability" in thresholds:
        sentences.append(_describe_label_set(thresholds))
    if "min_in_scope" in thresholds:
        sentences.append(
            f"A text that resembles the training texts less than {format_figure(thresholds['min_in_scope'])} counts as "
            "out of scope and is not accepted."
        )
    return sentences


def _describe_min_probability(thresholds: Mapping[str, float]) -> str:
    wanted, share, accuracy, low = (
        thresholds.get(name)
        for name in ("accepted_accuracy_wanted", "accepted_share", "accepted_accuracy", "accepted_accuracy_lower_95")
    )
    aim = "" if wanted is None else f", set so that {_percent(wanted)} of the accepted answers are right"
    words = f"An answer is accepted from a probability of {format_figure(thresholds['min_probability'])} on{aim}."
    if accuracy is not None:
        which = "the accepted answers" if share is None else f"the accepted answers ({_percent(share)} of all)"
        words += f" Where it was measured, {_percent(accuracy)} of {which} were right"
        if low is not None:
            words += f"; on texts like those, at least {_percent(low)} are, with 95 % confidence"
        words += "."
    if wanted is not None and low is not None and low < wanted:
        words += f" More rows are needed before {_percent(wanted)} can be promised."
    return words


def _describe_label_set(thresholds: Mapping[str, float]) -> str:
    words = f"Every label with a probability of at least {format_figure(thresholds['label_set_min_probability'])}"
    confidence = thresholds.get("label_set_confidence")
    if confidence is None:
        return f"{words} belongs to the set of possible labels."
    return (
        f"{words} belongs to a set that holds the right label of {_percent(confidence)} of texts like those held out."
    )


def describe_limits(report: TrainingReport, *, languages_known: bool = False) -> list[str]:
    """Return what the model cannot be trusted with, one plain sentence each; labels stand in it as they are."""
    limits = _describe_rare_labels(report)
    if "min_in_scope" not in report.thresholds:
        limits.append(
            "No threshold tells texts apart that the model was not made for; it may answer them all the same."
        )
    if not languages_known:
        limits.append("In which languages it works is not known beyond those of its training rows.")
    limits.append("It repeats the habits of its training rows, mistakes in their labels included.")
    return limits


def _describe_rare_labels(report: TrainingReport) -> list[str]:
    sentences = []
    trained = report.data.get("rows_per_label")
    counts = (
        {label: count for label, count in trained.items() if isinstance(count, int)}
        if isinstance(trained, dict)
        else {}
    )
    if counts:
        sentences.append(f"The labels with the fewest training rows: {_name_rarest(counts)}.")
    table = report.per_class or report.entities
    few = {label: row.support for label, row in table.classes.items() if row.support < _FEW_TEST_ROWS} if table else {}
    if few:
        named = _name_rarest(few)
        sentences.append(f"Labels with fewer than {_FEW_TEST_ROWS} test rows, whose figures say little: {named}.")
    return sentences


def _name_rarest(counts: Mapping[str, int]) -> str:
    """Return the labels with the smallest counts, each with its count.

    Example:
        >>> _name_rarest({"a": 9, "b": 2})
        '“b” (2), “a” (9)'
    """
    rarest = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    named = ", ".join(f"“{label}” ({count:,})" for label, count in rarest[:_MAX_NAMED])
    return named if len(rarest) <= _MAX_NAMED else f"{named} and {len(rarest) - _MAX_NAMED} more"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace(".0 %", " %")
