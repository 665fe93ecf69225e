"""Classifiers by method on public sets, each beside a linear model and the frozen encoder of the same run.

Run: python -m benchmarks.classifiers --data banking77 --methods full head --seeds 0 1 2 --results build/figures.jsonl
     python -m benchmarks.classifiers --results build/figures.jsonl --out docs/benchmarks/classifiers.md

Every run adds its figures to the file of results; the page is written from all of them.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.classifier_data import DATA_SETS, DEFAULT_DATA, DataSet, take_shots
from benchmarks.classifier_page import write_page
from benchmarks.machine import processor
from llms import LocalClassifier
from llms.classifier.lexical import LexicalModel
from llms.encoder.sentence_encoder import load_encoder
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.head import fit_linear_layer
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.report.report import folder_size_bytes
from llms.finetuning.trainer.methods import METHODS
from llms.loading import resolve_model
from llms.metrics import (
    area_under_risk_coverage,
    area_under_roc,
    classification_metrics,
    coverage_at_accuracy,
)

ACCEPTED_ACCURACY = 0.98


def main() -> None:
    arguments = _parse()
    if arguments.data:
        _measure(arguments)
    if arguments.out:
        write_page(arguments.results, arguments.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(DATA_SETS))
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=["full", "head"])
    parser.add_argument("--shots", type=int, help="examples per label; default: all")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=ClassifierOptions().epochs)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--contrastive-epochs", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=ClassifierOptions().batch_size)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _measure(arguments: argparse.Namespace) -> None:
    folder = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA))  # noqa: TID251  # no workspace here
    whole = DATA_SETS[arguments.data](folder)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        data = whole
        if arguments.shots:
            data = dataclasses.replace(whole, train=take_shots(whole.train, arguments.shots, seed))
        for name, figures in _all_figures(data, arguments, seed):
            row = {
                "data": arguments.data,
                "shots": arguments.shots,
                "seed": seed,
                "method": name,
                "epochs": arguments.epochs,
                "command": " ".join(["python -m benchmarks.classifiers", *_public(sys.argv[1:])]),
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "machine": f"{os.cpu_count()} cores, {processor()}",
                **figures,
            }
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def _public(words: Sequence[str]) -> list[str]:
    """Return the command line without the name of the file of results."""
    kept = list(words)
    index = kept.index("--results")
    return kept[:index] + kept[index + 2 :]


def _all_figures(data: DataSet, arguments: argparse.Namespace, seed: int) -> Any:
    yield "character TF-IDF + linear SVM", _linear_figures(data)
    yield "frozen encoder + logistic regression", _frozen_figures(data)
    for method in arguments.methods:
        options = ClassifierOptions(
            method=method,
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            batch_size=arguments.batch_size,
            contrastive_epochs=arguments.contrastive_epochs,
            accepted_accuracy=ACCEPTED_ACCURACY,
            seed=seed,
            track="none",
            keep_adapter=method not in ("full", "head"),
        )
        name = f"contrastive, {method}" if arguments.contrastive_epochs else method
        yield name, _our_figures(data, options)


def _our_figures(data: DataSet, options: ClassifierOptions) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        folder = finetune_classifier(LabelledTexts(data.train), Path(temporary) / "model", options).folder
        seconds = time.perf_counter() - started
        classifier = LocalClassifier(folder)
        replies = classifier.batch([row.text for row in data.test])
        labels, sure = [reply.label for reply in replies], [reply.probability for reply in replies]
        correct = [want.label == got for want, got in zip(data.test, labels, strict=True)]
        figures = classification_metrics([row.label for row in data.test], labels, sure)
        figures |= _decision_figures(replies, correct, sure)
        figures |= _outside_figures(classifier, data, replies)
        manifest = classifier.manifest
        return figures | {
            "seconds": round(seconds, 1),
            "trained_parameters": manifest.trained_parameters,
            "size_bytes": folder_size_bytes(folder),
        }


def _decision_figures(replies: Sequence[Any], correct: Sequence[bool], sure: Sequence[float]) -> dict[str, float]:
    accepted = [right for right, reply in zip(correct, replies, strict=True) if reply.accepted]
    sets = [len(reply.labels) for reply in replies]
    return {
        "accepted_share": len(accepted) / len(replies),
        "accepted_accuracy": float(np.mean(accepted)) if accepted else 0.0,
        "coverage_at_98": coverage_at_accuracy(sure, correct, ACCEPTED_ACCURACY),
        "aurc": area_under_risk_coverage(sure, correct),
        "label_set_size": float(np.mean(sets)),
    }


def _outside_figures(classifier: LocalClassifier, data: DataSet, replies: Sequence[Any]) -> dict[str, float]:
    """Return how well texts of no label are told from those of one, and how many are refused."""
    figures: dict[str, float] = {}
    for name, texts in data.outside.items():
        strange = classifier.batch(texts)
        inside, outside = [reply.in_scope for reply in replies], [reply.in_scope for reply in strange]
        figures[f"{name}_auroc"] = area_under_roc(inside, outside)
        figures[f"{name}_recall"] = float(np.mean([not reply.accepted for reply in strange]))
        kept = classifier.manifest.min_in_scope
        figures[f"{name}_recall_by_scope"] = float(np.mean(np.array(outside) < kept))
        figures["in_scope_share"] = float(np.mean(np.array(inside) >= kept))
        right = [want.label == got.label and got.in_scope >= kept for want, got in zip(data.test, replies, strict=True)]
        figures["accuracy_with_scope"] = float(np.mean(right))
        # the threshold at which 97 of 100 texts in scope pass, whatever training chose
        figures[f"{name}_recall_at_97"] = float(np.mean(np.array(outside) < np.quantile(inside, 0.03)))
    return figures


def _linear_figures(data: DataSet) -> dict[str, float]:
    labels = sorted({row.label for row in data.train})
    started = time.perf_counter()
    model = LexicalModel.fit([row.text for row in data.train], [labels.index(row.label) for row in data.train])
    seconds = time.perf_counter() - started
    scores = model.scores([row.text for row in data.test])
    return _plain_figures(data.test, [labels[index] for index in scores.argmax(axis=1)], seconds)


def _frozen_figures(data: DataSet) -> dict[str, float]:
    labels = sorted({row.label for row in data.train})
    encoder = load_encoder(resolve_model("all-MiniLM-L6-v2"))
    started = time.perf_counter()
    vectors = encoder.encode([row.text for row in data.train])
    targets = np.array([labels.index(row.label) for row in data.train])
    weight, bias = fit_linear_layer(vectors, targets, len(labels))
    seconds = time.perf_counter() - started
    scores = encoder.encode([row.text for row in data.test]) @ weight.T + bias
    figures = _plain_figures(data.test, [labels[index] for index in scores.argmax(axis=1)], seconds)
    inside = _nearest(encoder.encode([row.text for row in data.test]), vectors)
    for name, texts in data.outside.items():
        figures[f"{name}_auroc"] = area_under_roc(inside, _nearest(encoder.encode(texts), vectors))
    return figures


def _nearest(asked: Any, known: Any) -> Any:
    return np.sort(asked @ known.T, axis=1)[:, -5:].mean(axis=1)


def _plain_figures(test: Sequence[LabelledText], predicted: Sequence[str], seconds: float) -> dict[str, float]:
    figures = classification_metrics([row.label for row in test], list(predicted))
    return figures | {"seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
