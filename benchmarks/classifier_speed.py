"""Speed of training and answering of classifiers, beside common tutorials' loop and transformers' pipeline.

Run: python -m benchmarks.classifier_speed --out docs/benchmarks/classifier_speed.md [--rows 2500] [--rounds 3]

Training: the same encoder, rows, epochs and number of steps; the tutorial's loop pads every text to 128 tokens, keeps
float32 and shuffles. Answering: the Banking77 test texts through `LocalClassifier` on OpenVINO in int8 and through
transformers' text-classification pipeline one by one and in batches of 32, over an encoder of the same size.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline, set_seed

from benchmarks.classifier_data import DATA_SETS
from benchmarks.machine import processor, timed
from llms import LocalClassifier
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.loading import quiet_loading, resolve_model

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
MAX_LENGTH = 128
TUTORIAL_RATE = 5e-5  # the highest of those that BERT's authors advise; a new head learns slowly below


def main() -> None:
    arguments = _parse()
    data = DATA_SETS["banking77"](Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)))  # noqa: TID251
    rows = random.Random(0).sample(data.train, min(arguments.rows, len(data.train)))
    with tempfile.TemporaryDirectory() as temporary:
        lines = _heading(arguments)
        lines += _training_lines(rows, data.test, arguments.epochs, Path(temporary))
        lines += _answering_lines([row.text for row in data.test], data.test, Path(temporary), arguments.rounds)
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _heading(arguments: argparse.Namespace) -> list[str]:
    return [
        "# Speed of classifiers",
        "",
        f"Command: `python -m benchmarks.classifier_speed --rows {arguments.rows} --epochs {arguments.epochs} "
        f"--rounds {arguments.rounds}`; seed 0.",
        f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores, {processor()}, torch {torch.__version__}; "
        f"load of the machine before: {os.getloadavg()[0]:.1f}.",
        "",
    ]


def _training_lines(rows: Sequence[LabelledText], test: Sequence[LabelledText], epochs: int, folder: Path) -> list[str]:
    plain_seconds, plain_accuracy = _train_plainly(rows, test, epochs)
    options = ClassifierOptions(
        epochs=epochs, patience=epochs, track="none", show_progress=False, max_tokens=MAX_LENGTH
    )
    seconds = timed(lambda: finetune_classifier(LabelledTexts(list(rows)), folder / "ours", options))
    classifier = LocalClassifier(folder / "ours")
    accuracy = _accuracy([reply.label for reply in classifier.batch([row.text for row in test])], test)
    return [
        f"## Training on {len(rows):,} rows of Banking77, {epochs} epochs",
        "",
        "| Loop | seconds | accuracy on the test part |",
        "|---|---|---|",
        f"| tutorial: padded to {MAX_LENGTH} tokens, float32, shuffled | {plain_seconds:.0f} | {plain_accuracy:.4f} |",
        f"| tunechain, method full, calibration included | {seconds:.0f} | {accuracy:.4f} |",
        "",
        f"x {plain_seconds / seconds:.1f} for the same number of epochs, after which the tutorial's loop is far behind "
        "in accuracy: its new layer learns at the encoder's rate, so to become as accurate it would need many more. "
        "Ours also holds a tenth of the rows out, and fits n-grams and thresholds.",
        "",
    ]


def _train_plainly(rows: Sequence[LabelledText], test: Sequence[LabelledText], epochs: int) -> tuple[float, float]:
    """Return seconds and accuracy of the loop that tutorials show."""
    set_seed(0)
    folder = resolve_model("all-MiniLM-L6-v2")
    labels = sorted({row.label for row in rows})
    with quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(labels))
    started = time.perf_counter()
    encoded = tokenizer([row.text for row in rows], padding="max_length", truncation=True, max_length=MAX_LENGTH)
    tensors = {name: torch.tensor(value) for name, value in encoded.items()}
    targets = torch.tensor([labels.index(row.label) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=TUTORIAL_RATE)
    model.train()
    for _ in range(epochs):
        for indices in torch.randperm(len(rows)).split(32):
            loss = model(**{name: value[indices] for name, value in tensors.items()}, labels=targets[indices]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    seconds = time.perf_counter() - started
    model.eval()
    found: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(test), 64):
            texts = [row.text for row in test[start : start + 64]]
            batch = tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            found += [labels[index] for index in model(**batch).logits.argmax(dim=-1)]
    return seconds, _accuracy(found, test)


def _answering_lines(texts: list[str], test: Sequence[LabelledText], folder: Path, rounds: int) -> list[str]:
    ours = LocalClassifier(folder / "ours", engine="openvino", precision="int8")
    exact = LocalClassifier(folder / "ours", engine="torch", precision="float32")
    theirs = _pipeline(len(exact.labels))
    few = texts[:400]
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "transformers' pipeline, one by one": (len(few), lambda: [theirs(text) for text in few]),
        "transformers' pipeline, batches of 32": (len(texts), lambda: theirs(texts, batch_size=32)),
        "LocalClassifier, torch float32": (len(texts), lambda: exact.batch(texts)),
        "LocalClassifier, OpenVINO int8, one by one": (len(few), lambda: [ours.invoke(text) for text in few]),
        "LocalClassifier, OpenVINO int8": (len(texts), lambda: ours.batch(texts)),
    }
    for _, run in ways.values():  # loads, exports and warms up
        run()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (count, run) in ways.items():
            rates[name].append(count / timed(run))
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    one, batched = list(medians.values())[:2]
    loss = _accuracy([reply.label for reply in exact.batch(texts)], test) - _accuracy(
        [reply.label for reply in ours.batch(texts)], test
    )
    return [
        f"## Answering, {len(texts):,} texts, median of {rounds} rounds",
        "",
        "| Way | texts per second | x one by one | x batches of 32 |",
        "|---|---|---|---|",
        *(f"| {name} | {rate:,.0f} | {rate / one:.1f} | {rate / batched:.1f} |" for name, rate in medians.items()),
        "",
        f"Accuracy lost by int8: {100 * loss:.2f} points of {len(texts):,} texts.",
    ]


def _pipeline(num_labels: int) -> Any:
    """Return transformers' pipeline over an encoder of the same size; a random head is as fast as a trained one."""
    folder = resolve_model("all-MiniLM-L6-v2")
    with quiet_loading():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=num_labels).eval()
        return pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device=-1)


def _accuracy(found: Sequence[str], test: Sequence[LabelledText]) -> float:
    return sum(label == row.label for label, row in zip(found, test, strict=True)) / len(test)


if __name__ == "__main__":
    main()
