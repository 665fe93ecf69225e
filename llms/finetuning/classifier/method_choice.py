"""Choice of a training method on rows that are held out: more than the last layer only where that pays."""

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llms.classifier.local_classifier import LocalClassifier
from llms.errors import UnsupportedOptionError
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import ClassifierRow, LabelledText, LabelledTexts
from llms.finetuning.data.splits import split_rows
from llms.finetuning.trainer.methods import Method
from llms.manifest import ClassifierManifest, find_manifest_of

_MOST_ROWS = 2_000  # of a trial, learnt and asked alike, so that a choice costs a fraction of the training
_NUM_SPLITS = 3
_HELD_OUT_SHARE = 1 / 3
_SURE = 1.645  # standard errors: the one-sided 95 % bound of a normal distribution

Train = Callable[[LabelledTexts, Path, ClassifierOptions], object]


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """The method a training goes on with, and why.

    Attributes:
        gain: how much more of the held-out rows the costlier method had right, as a share.
        lower: its lower bound, one-sided at 95 %.
        num_rows: held-out rows that both were asked.
        reason: one sentence for people.
    """

    method: Method
    gain: float
    lower: float
    num_rows: int
    reason: str


def choose_method(
    rows: Sequence[ClassifierRow], folder: Path, options: ClassifierOptions, *, train: Train
) -> MethodChoice:
    """Return "head", or the method that trains the encoder, too, where held-out rows say that it pays.

    Both are trained on the same rows and asked the same others: three times two thirds of the rows, or 2,000 of many.
    The costlier method is taken if it has more right by more than chance explains. It is "full", and "lora" where the
    adapter is kept apart. Trials that a run before finished are not repeated.

    Args:
        folder: of the model; the trials lie beside it until `discard_trials`.
        train: rows, folder and options -> a model in the folder.

    Raises:
        UnsupportedOptionError: if rows have several labels.
    """
    single = [row for row in rows if isinstance(row, LabelledText)]
    if len(single) < len(rows):
        msg = "method='auto' compares answers with one label each; name a method, such as full or head"
        raise UnsupportedOptionError(msg)
    candidate: Method = "lora" if options.keep_adapter else "full"
    rights: list[tuple[str, bool, bool]] = []  # text, right with the head alone, right with the candidate
    for learnt, asked in _splits(single, options):
        answers = {
            method: _answers(learnt, asked, folder, replace(options, method=method), train)
            for method in ("head", candidate)
        }
        rights += [
            (row.text, head == row.label, other == row.label)
            for row, head, other in zip(asked, answers["head"], answers[candidate], strict=True)
        ]
    return compare_answers(rights, candidate)


def compare_answers(rights: Sequence[tuple[str, bool, bool]], candidate: Method) -> MethodChoice:
    """Return the choice for texts with (right with the head alone, right with the candidate).

    A text that was asked several times counts once, with its mean difference.

    Example:
        >>> rights = [(f"text {i}", i % 2 == 0, True) for i in range(100)]
        >>> compare_answers(rights, "full").method
        'full'
        >>> compare_answers([(text, True, True) for text, *_ in rights], "full").method
        'head'
    """
    by_text: dict[str, list[int]] = {}
    for text, head, other in rights:
        by_text.setdefault(text, []).append(int(other) - int(head))
    differences = np.array([np.mean(found) for found in by_text.values()])
    gain = float(differences.mean()) if len(differences) else 0.0
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    lower = gain - _SURE * error
    method: Method = candidate if lower > 0 else "head"
    reason = (
        f"{method}, because {candidate} training moved the share of right answers on {len(differences)} held-out texts "
        f"by {gain:+.1%} against the last layer alone, and by {lower:+.1%} at least, with a certainty of 95 %"
    )
    return MethodChoice(method, gain, lower, len(differences), reason)


def discard_trials(folder: Path) -> None:
    """Remove the trials beside a model's folder."""
    shutil.rmtree(_trial_folder(folder), ignore_errors=True)


def _splits(
    rows: Sequence[LabelledText], options: ClassifierOptions
) -> list[tuple[list[LabelledText], list[LabelledText]]]:
    is_many = len(rows) > _MOST_ROWS
    num_splits = 1 if is_many or options.split_by == "time" else _NUM_SPLITS
    found = []
    for number in range(num_splits):
        learnt, asked = split_rows(
            rows, held_out_share=_HELD_OUT_SHARE, seed=options.seed + number, by=options.split_by
        )
        learnt, asked = (_sample(part, options.seed) for part in (learnt, asked))
        known = {row.label for row in learnt}
        found.append((learnt, [row for row in asked if row.label in known]))
    return found


def _sample(rows: list[LabelledText], seed: int) -> list[LabelledText]:
    order = np.random.default_rng(seed).permutation(len(rows))[:_MOST_ROWS]
    return [rows[index] for index in sorted(order)]


def _answers(
    learnt: Sequence[LabelledText],
    asked: Sequence[LabelledText],
    folder: Path,
    options: ClassifierOptions,
    train: Train,
) -> list[str]:
    rows = LabelledTexts(list(learnt))
    options = replace(options, track="none")
    trial = _trial_folder(folder) / hashlib.sha256(f"{options}{rows.sha256}".encode()).hexdigest()[:16]
    if find_manifest_of(trial, ClassifierManifest) is None:
        trial.parent.mkdir(parents=True, exist_ok=True)
        train(rows, trial, options)
    classifier = LocalClassifier(trial, device=options.device, engine="torch")
    return [reply.label for reply in classifier.batch([row.text for row in asked])]


def _trial_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-trials")
