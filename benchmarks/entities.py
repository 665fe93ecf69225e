"""Entity F1 of taggers fine-tuned on public data, beside a linear model in the same run.

Run: python -m benchmarks.entities [--seeds 3] [--sets wnut17 sec weibo] [--epochs 6] [--out entities.md]

Nothing is chosen by the test parts: a tenth of the training texts is held out to stop by.
"""

import argparse
import os
import platform
import re
import statistics
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.entities_baseline import fit_linear_tagger
from benchmarks.machine import processor
from llms import LocalTagger
from llms.finetuning.tagger import TaggedTexts, read_tagged_texts
from llms.finetuning.tagger.finetune import finetune_tagger
from llms.finetuning.tagger.options import TaggerOptions
from llms.tagger.metrics import entity_report, format_report

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = {
    "wnut17": ("wnut17/wnut17train.conll", "wnut17/emerging.test.annotated"),
    "sec": ("fin_sec_ner/FIN5.txt", "fin_sec_ner/FIN3.txt"),
    "weibo": ("weibo_ner/weiboNER_2nd_conll.train", "weibo_ner/weiboNER_2nd_conll.test"),
}
TITLES = {
    "wnut17": "WNUT17: rare and new entities in posts",
    "sec": "Entities in loan agreements (FIN5 to FIN3)",
    "weibo": "Weibo: entities in Chinese posts",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=list(FILES), default=list(FILES))
    parser.add_argument("--epochs", type=int, default=TaggerOptions().epochs)
    parser.add_argument("--base", default=TaggerOptions().base)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = _report(arguments, Path(temporary))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(arguments: argparse.Namespace, temporary: Path) -> str:
    command = f"python -m benchmarks.entities --seeds {arguments.seeds} --sets {' '.join(arguments.sets)}"
    lines = [
        "# Entities: taggers fine-tuned on public data",
        "",
        f"`{command} --epochs {arguments.epochs} --base {arguments.base}`, {os.cpu_count()} cores, {processor()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}. "
        f"Load of the machine before the run: {os.getloadavg()[0]:.1f}, so times are rough.",
        "",
        "A span counts only if start, end and label are right. Epochs, stopping and calibration come from a tenth of "
        "the training texts; the test parts are looked at once. The linear model is a logistic regression over words, "
        "shapes, affixes and neighbours with the same search for legal tags; it sees all training texts.",
    ]
    for name in arguments.sets:
        lines += ["", *_lines_of(name, arguments, temporary)]
    return "\n".join(lines)


def _lines_of(name: str, arguments: argparse.Namespace, temporary: Path) -> list[str]:
    train, test = (_read(name, file, temporary) for file in FILES[name])
    texts = [row.text for row in test.rows]
    expected = [[(span.start, span.end, span.label) for span in row.spans] for row in test.rows]
    seen = {row.text for row in train.rows}
    fresh = [index for index, text in enumerate(texts) if text not in seen]
    reports: dict[str, list[Any]] = {"linear model": [], "tunechain": []}
    fresh_f1: list[float] = []
    seconds: list[tuple[float, float]] = []
    for seed in range(arguments.seeds):
        reports["linear model"].append(entity_report(expected, fit_linear_tagger(train.rows, seed=seed)(texts)))
        found, times = _tunechain(train, texts, arguments, temporary / f"{name}-{seed}", seed)
        reports["tunechain"].append(entity_report(expected, found))
        kept = entity_report([expected[index] for index in fresh], [found[index] for index in fresh])
        fresh_f1.append(kept["averages"]["micro"]["f1"])
        seconds.append(times)
    training, tagging = (statistics.mean(column) for column in zip(*seconds, strict=True))
    return [
        f"## {TITLES[name]}",
        "",
        f"{len(train.rows):,} training and {len(texts):,} test texts. Training {training:.0f} s, tagging the test part "
        f"{tagging:.1f} s (mean of the seeds).",
        "",
        "| Method | precision | recall | micro F1 | macro F1 | micro F1 of each seed |",
        "|---|---|---|---|---|---|",
        *(_table_row(method, found) for method, found in reports.items()),
        "",
        f"Without the {len(texts) - len(fresh)} test texts that occur in the training part, tunechain's micro F1 is "
        f"{statistics.mean(fresh_f1):.4f}.",
        "",
        "Seed 0 of tunechain:",
        "",
        "```",
        format_report(reports["tunechain"][0], digits=4),
        "```",
    ]


def _table_row(method: str, reports: Sequence[Any]) -> str:
    micro = {
        column: [report["averages"]["micro"][column] for report in reports] for column in ("precision", "recall", "f1")
    }
    macro = statistics.mean(report["averages"]["macro"]["f1"] for report in reports)
    means = " | ".join(f"{statistics.mean(values):.4f}" for values in micro.values())
    return f"| {method} | {means} | {macro:.4f} | {', '.join(f'{value:.4f}' for value in micro['f1'])} |"


def _tunechain(
    train: TaggedTexts, texts: Sequence[str], arguments: argparse.Namespace, folder: Path, seed: int
) -> tuple[list[list[tuple[int, int, str]]], tuple[float, float]]:
    options = TaggerOptions(base=arguments.base, epochs=arguments.epochs, seed=seed, track="none")
    started = perf_counter()
    tagger = LocalTagger(finetune_tagger(train, folder, options).folder)
    trained = perf_counter()
    tagger.invoke("first")  # loads the model
    loaded = perf_counter()
    found = [[(span.start, span.end, span.label) for span in reply.spans] for reply in tagger.batch(list(texts))]
    return found, (trained - started, perf_counter() - loaded)


def _read(name: str, file: str, temporary: Path) -> TaggedTexts:
    path = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)) / file  # noqa: TID251  # no workspace here
    if name == "weibo":  # each character has the digit of its index in the word behind it
        content = re.sub(r"^(.)\d\t", r"\1\t", path.read_text("utf-8"), flags=re.MULTILINE)
        path = temporary / f"{path.suffix.lstrip('.')}.conll"
        path.write_text(content, encoding="utf-8")
    return read_tagged_texts(path)


if __name__ == "__main__":
    main()
