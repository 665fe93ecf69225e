"""Sentiment by company on headlines that name several: a classifier that reads its target marked, beside others.

Run: python -m benchmarks.target_sentiment [--epochs 3] [--rows 0] [--out docs/benchmarks/target_sentiment.md]

The data are SEntFiN's headlines in TUNECHAIN_DATA, a fifth of them held out by their titles, so that no headline is on
both sides. A run trains two models and takes about half an hour on one core; `--rows` takes fewer.
"""

import argparse
import csv
import hashlib
import os
import platform
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.classifier_data import DEFAULT_DATA, PAIR
from benchmarks.machine import processor
from chains.monitoring.targets import mark_target
from llms import LocalClassifier
from llms.classifier.lexical import LexicalModel
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.metrics import classification_metrics

MASK = "targetcompany"  # a word of its own, so that character n-grams around it say what is said of the target


@dataclass(frozen=True)
class Pair:
    """One company in one headline."""

    headline: str
    target: str
    label: str
    is_opposed: bool  # the headline is positive for one company and negative for another


def read_pairs(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on and those held out."""
    parts: tuple[list[Pair], list[Pair]] = ([], [])
    with (folder / "sentfin" / "SEntFiN.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pairs = PAIR.findall(row["Decisions"])
            title = row["Title"].strip()
            normalised = "".join(sign for sign in title.casefold() if sign.isalnum())
            is_held_out = hashlib.sha256(normalised.encode()).digest()[0] < 256 // 5
            is_opposed = {"positive", "negative"} <= {label for _, label in pairs}
            parts[is_held_out].extend(Pair(title, target, label, is_opposed) for target, label in pairs)
    return parts


def _as_marked(pair: Pair) -> str:
    return mark_target(pair.headline, pair.target)


def _as_masked(pair: Pair) -> str:
    return pair.headline.replace(pair.target, MASK)


def _as_headline(pair: Pair) -> str:
    return pair.headline


def predict_lexical(train: Sequence[Pair], test: Sequence[Pair], read: Callable[[Pair], str]) -> list[str]:
    labels = sorted({pair.label for pair in train})
    model = LexicalModel.fit([read(pair) for pair in train], [labels.index(pair.label) for pair in train])
    return [labels[index] for index in model.scores([read(pair) for pair in test]).argmax(axis=1)]


def predict_finetuned(
    train: Sequence[Pair], test: Sequence[Pair], read: Callable[[Pair], str], options: ClassifierOptions
) -> list[str]:
    rows = [LabelledText(read(pair), pair.label) for pair in train]
    with tempfile.TemporaryDirectory() as folder:
        model = finetune_classifier(LabelledTexts(rows), Path(folder) / "model", options).folder
        return [reply.label for reply in LocalClassifier(model).batch([read(pair) for pair in test])]


def describe(test: Sequence[Pair], predicted: Sequence[str]) -> str:
    """Return accuracy and macro-F1 of all pairs, and accuracy where companies of a headline are opposed."""
    figures = classification_metrics([pair.label for pair in test], list(predicted))
    opposed = [pair.label == label for pair, label in zip(test, predicted, strict=True) if pair.is_opposed]
    share = sum(opposed) / max(1, len(opposed))
    return f"{figures['accuracy']:.3f} | {figures['macro_f1']:.3f} | {share:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="pairs to train on; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    train, test = read_pairs(Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)))  # noqa: TID251  # no workspace here
    if arguments.rows:
        train = random.Random(arguments.seed).sample(train, arguments.rows)
    options = ClassifierOptions(epochs=arguments.epochs, seed=arguments.seed, track="none")
    num_opposed = sum(pair.is_opposed for pair in test)
    rows = {
        "TF-IDF of the headline": predict_lexical(train, test, _as_headline),
        "TF-IDF, the company masked": predict_lexical(train, test, _as_masked),
        "classifier of the headline": predict_finetuned(train, test, _as_headline, options),
        "classifier with the target marked": predict_finetuned(train, test, _as_marked, options),
    }
    lines = [
        "# Sentiment by company",
        "",
        f"`python -m benchmarks.target_sentiment --epochs {arguments.epochs} --rows {arguments.rows} --seed "
        f"{arguments.seed}`, {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}.",
        "",
        f"Headlines of SEntFiN with a sentiment for each company: {len(train):,} pairs to train on, {len(test):,} held",
        f"out by headline, {num_opposed:,} of them in headlines that are good for one company and bad for another.",
        "",
        "| method | accuracy | macro-F1 | accuracy where companies are opposed |",
        "|---|---|---|---|",
        *(f"| {name} | {describe(test, predicted)} |" for name, predicted in rows.items()),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
