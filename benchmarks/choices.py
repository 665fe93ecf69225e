"""Probabilities of choices by a published chat model, before and after `fit_choices`, beside a tuned classifier.

Run: python -m benchmarks.choices --model NAME [--rows 1000] [--results FILE] [--out docs/benchmarks/choices.md]

The model reads the list of labels and scores each as its whole answer; nothing of it is trained. What `fit_choices`
finds is reported on rows that were held out, in turn by fold. The classifier is the default encoder with
`--method head`, trained on the training part; both are asked the same rows of the test part. With --results the scores
of each row are appended to that file as JSON, and rows that stand in it already are not scored again.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from benchmarks.classifier_data import DATA_SETS
from benchmarks.machine import processor
from benchmarks.results import append_result, read_results
from llms import LocalChatModel, LocalClassifier
from llms.chat.fitted_choices import ChoicesReport, fit_choices
from llms.finetuning import ClassifierOptions, finetune_classifier
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.data.labelled_files import read_labelled_texts
from llms.metrics import expected_calibration_error

DATA = Path(__file__).parents[2] / "shared" / "data"
SAMPLES = Path(__file__).parents[1] / "apps" / "samples"
AT_ONCE = 4
LARGEST_ERROR = 0.03  # of the calibration after the fit


@dataclass(frozen=True, slots=True)
class Sorted:
    """What a set got: figures of the chat model and of the classifier, on the same rows."""

    title: str
    num_labels: int
    report: ChoicesReport
    seconds: float
    classifier_accuracy: float
    classifier_error: float
    classifier_seconds: float


def main() -> None:
    """Score, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rows", type=int, default=1000, help="of each set, at most")
    parser.add_argument("--results", type=Path, help="JSON lines, to which the scores are appended")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model = LocalChatModel(model=arguments.model, precision=arguments.precision)
    found = []
    for title, (train, test) in _sets().items():
        asked = random.Random(0).sample(test, min(arguments.rows, len(test)))
        print(f"{title}: {len(asked)} rows", file=sys.stderr, flush=True)
        found.append(_measure(title, train, asked, model, arguments.results))
    page = "\n".join(_page(arguments, found)) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page, "utf-8")


def _sets() -> dict[str, tuple[list[LabelledText], list[LabelledText]]]:
    data = Path(os.environ.get("TUNECHAIN_DATA", DATA))  # noqa: TID251  # no workspace here
    banking = DATA_SETS["banking77"](data)
    sets = {"Banking77": (banking.train, banking.test)}
    for language, title in {"en": "sample shop, English", "zh": "sample shop, Chinese"}.items():
        folder = SAMPLES / language / "customer_service"
        train, test = (
            list(read_labelled_texts(folder / f"{name}.csv", label_column="intent").rows)
            for name in ("intents", "intents_test")
        )
        sets[title] = (train, test)
    return sets


def _measure(
    title: str, train: list[LabelledText], asked: Sequence[LabelledText], model: LocalChatModel, results: Path | None
) -> Sorted:
    labels = sorted({row.label for row in train})
    scores, seconds = _scores(title, asked, labels, model, results)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        chosen = ClassifierOptions(method="head", show_progress=False, track="none")
        finetune_classifier(LabelledTexts(train), folder, chosen)
        classifier = LocalClassifier(folder)
        started = time.perf_counter()
        replies = classifier.batch([row.text for row in asked])
        classifier_seconds = (time.perf_counter() - started) / len(asked)
    is_right = [reply.label == row.label for reply, row in zip(replies, asked, strict=True)]
    return Sorted(
        title=title,
        num_labels=len(labels),
        report=fit_choices(scores, [row.label for row in asked]).report,
        seconds=seconds,
        classifier_accuracy=sum(is_right) / len(is_right),
        classifier_error=expected_calibration_error([reply.probability for reply in replies], is_right),
        classifier_seconds=classifier_seconds,
    )


def _scores(
    title: str, asked: Sequence[LabelledText], labels: Sequence[str], model: LocalChatModel, results: Path | None
) -> tuple[list[dict[str, float]], float]:
    """Return the scores of each row, and the seconds a row took where it was scored."""
    done = {number: (scores, seconds) for set_, number, scores, seconds in read_results(results) if set_ == title}

    def score(number: int) -> tuple[dict[str, float], float]:
        if number in done:
            return done[number]
        started = time.perf_counter()
        scores = model.score_choices(_messages(asked[number].text, labels), labels)
        return scores, (time.perf_counter() - started) / AT_ONCE

    found = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (scores, seconds) in enumerate(pool.map(score, range(len(asked)))):
            found.append((scores, seconds))
            if number not in done:
                append_result(results, [title, number, scores, seconds])
    return [scores for scores, _ in found], sum(seconds for _, seconds in found) / len(found)


def _messages(text: str, labels: Sequence[str]) -> list[BaseMessage]:
    listed = "\n".join(labels)
    system = f"Sort the customer's message into one of these intents. Answer with its name and nothing else.\n{listed}"
    return [SystemMessage(system), HumanMessage(text)]


def _page(arguments: argparse.Namespace, found: Sequence[Sorted]) -> Iterator[str]:
    yield "# Choices of a published chat model, before and after `fit_choices`"
    yield ""
    yield f"`python -m benchmarks.choices --model {arguments.model} --rows {arguments.rows}`,"
    yield f"{arguments.precision}, seed 0; {processor()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}."
    yield ""
    yield "The chat model reads the labels and the message, and scores each label as its whole answer; nothing of it is"
    yield "trained. *After* is on rows that were held out while the fit was made from the others. The classifier"
    yield "(default encoder, `--method head`) learnt the training part. Both are asked the same test rows. Calibration"
    yield f"error is the expected one in 15 bins; wanted is at most {LARGEST_ERROR} after the fit."
    yield ""
    yield "| set | labels | rows | | accuracy | calibration error | seconds a text |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        report, error_before = one.report, one.report.calibration_error_before
        holds = "holds" if report.calibration_error <= LARGEST_ERROR else "**does not hold**"
        before = f"{report.accuracy_before:.3f} | {error_before:.3f} | {one.seconds:.2f}"
        yield f"| {one.title} | {one.num_labels} | {report.num_rows} | chat model, before | {before} |"
        after = f"{report.accuracy:.3f} | {report.calibration_error:.3f}, {holds} | {one.seconds:.2f}"
        yield f"| | | | after | {after} |"
        classifier = f"{one.classifier_accuracy:.3f} | {one.classifier_error:.3f} | {one.classifier_seconds:.4f}"
        yield f"| | | | classifier | {classifier} |"


if __name__ == "__main__":
    main()
