"""Labels that Banking77 needs: suggested texts beside texts drawn at random, round by round.

Run: python -m benchmarks.active_learning --seeds 3 --out docs/benchmarks/active_learning.md

The oracle is the training part, whose labels are shown one by one; accuracy is that of the frozen head on the test
part, which decides nothing. Vectors are made once, and kept in the file that --vectors names.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from benchmarks.active_learning_page import write_page
from benchmarks.classifier_data import DATA_SETS, DEFAULT_DATA, DataSet
from benchmarks.machine import processor
from llms.arrays import FloatArray
from llms.encoder.text_encoder import PreparedText, Role, TextEncoder
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.labelling.active_learning import (
    RememberingEncoder,
    fit_draft_head,
    predict_in_blocks,
    suggest_rows,
)

ROUND_ROWS = 77
MAX_LABELS = 1_200
SELF_TRAINING_LABELS = 770
FULL_DATA_STEPS = (2_000, 4_000)


class StoredVectors(TextEncoder):
    """Stands for an encoder all of whose vectors were made before, so that none has to be loaded."""

    name = "stored"

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self._dimension = dimension

    @property
    @override
    def dimension(self) -> int:
        return self._dimension

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        msg = f"no vector is stored for {texts[0]!r}; remove the file of vectors"
        raise LookupError(msg)

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        raise NotImplementedError


def main() -> None:
    arguments = _parse()
    data = DATA_SETS["banking77"](Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA)))  # noqa: TID251  # no workspace here
    if arguments.seeds:
        _measure(data, arguments)
    if arguments.out:
        write_page(arguments.results, arguments.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="0 writes the page anew from the file of results")
    parser.add_argument("--self-training-seeds", type=int, default=1, help="each embeds 10,000 texts several times")
    parser.add_argument("--vectors", type=Path, default=Path("build/banking77_vectors.npz"))
    parser.add_argument("--results", type=Path, default=Path("build/active_learning.jsonl"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _stored_encoder(data: DataSet, path: Path) -> RememberingEncoder:
    labels = sorted({row.label for row in data.train})
    names = [" ".join(label.replace("_", " ").replace("-", " ").split()) for label in labels]
    texts = list(dict.fromkeys([*(row.text for row in [*data.train, *data.test]), *names]))
    if path.is_file():
        vectors = np.load(path)["vectors"]
    else:
        from llms.encoder.sentence_encoder import load_encoder
        from llms.loading import resolve_model

        vectors = load_encoder(resolve_model("all-MiniLM-L6-v2")).encode(texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=vectors)
    encoder = RememberingEncoder(StoredVectors(vectors.shape[1]))
    encoder.remember(texts, vectors)
    return encoder


def _measure(data: DataSet, arguments: argparse.Namespace) -> None:
    told = {
        "command": "python -m benchmarks.active_learning " + " ".join(_public(sys.argv[1:])),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {processor()}",
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for row in _all_figures(data, arguments):
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row | told) + "\n")
        print(json.dumps(row), flush=True)


def _all_figures(data: DataSet, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    encoder = _stored_encoder(data, arguments.vectors)
    at_self_training: list[tuple[dict[str, Any], list[LabelledText]]] = []
    for seed in range(arguments.seeds):
        for row, labelled in (*_random_curve(data, encoder, seed), *_suggested_curve(data, encoder, seed)):
            if len(labelled) == SELF_TRAINING_LABELS and seed < arguments.self_training_seeds:
                at_self_training.append((row, labelled))
            yield row
    # last, as it alone loads a model
    for row, labelled in at_self_training:
        yield _self_training_figures(data, row, labelled)


def _public(words: Sequence[str]) -> list[str]:
    """Return the command line without the files that are kept between runs."""
    kept = list(words)
    for name in ("--vectors", "--results"):
        if name in kept:
            index = kept.index(name)
            kept = kept[:index] + kept[index + 2 :]
    return kept


def _suggested_curve(
    data: DataSet, encoder: RememberingEncoder, seed: int
) -> Iterator[tuple[dict[str, Any], list[LabelledText]]]:
    labelled: list[LabelledText] = []
    rest = list(data.train)
    while len(labelled) < MAX_LABELS:
        wanted = min(ROUND_ROWS, MAX_LABELS - len(labelled))
        started = time.process_time()
        suggestions = suggest_rows(labelled, [row.text for row in rest], num_rows=wanted, encoder=encoder, seed=seed)
        seconds = time.process_time() - started
        indices = {suggestion.place for suggestion in suggestions}
        labelled += [rest[suggestion.place] for suggestion in suggestions]
        rest = [row for index, row in enumerate(rest) if index not in indices]
        score = _score(data, encoder, labelled)
        yield {"choice": "suggested", "seed": seed, "suggest_cpu_s": round(seconds, 1)} | score, list(labelled)


def _random_curve(
    data: DataSet, encoder: RememberingEncoder, seed: int
) -> Iterator[tuple[dict[str, Any], list[LabelledText]]]:
    order = np.random.default_rng(seed).permutation(len(data.train))
    counts = [*range(ROUND_ROWS, MAX_LABELS, ROUND_ROWS), MAX_LABELS]
    for count in [*counts, *FULL_DATA_STEPS, len(data.train)]:
        if count <= MAX_LABELS or seed == 0:  # beyond, one seed shows where the curve goes
            labelled = [data.train[index] for index in order[:count]]
            yield {"choice": "random", "seed": seed} | _score(data, encoder, labelled), labelled


def _score(data: DataSet, encoder: RememberingEncoder, labelled: Sequence[LabelledText]) -> dict[str, Any]:
    head = fit_draft_head(labelled, encoder=encoder, options=ClassifierOptions())
    texts = [row.text for row in data.test]
    predicted = predict_in_blocks(head, texts, encoder.encode(texts)).argmax(axis=1) if head else []
    right = [head.labels[index] == row.label for index, row in zip(predicted, data.test, strict=True)] if head else [0]
    return {
        "num_labels": len(labelled),
        "labels_met": len({row.label for row in labelled}),
        "accuracy": round(float(np.mean(right)), 4),
    }


def _self_training_figures(data: DataSet, start: dict[str, Any], labelled: Sequence[LabelledText]) -> dict[str, Any]:
    from llms import LocalClassifier
    from llms.finetuning.labelling.self_training import self_train

    known = {row.text for row in labelled}
    rest = [row for row in data.train if row.text not in known]
    options = ClassifierOptions(method="head", seed=start["seed"], track="none", show_progress=False)
    with tempfile.TemporaryDirectory() as temporary:
        outcome = self_train(LabelledTexts(list(labelled)), [row.text for row in rest], Path(temporary) / "m", options)
        replies = LocalClassifier(outcome.trained.folder).batch([row.text for row in data.test])
    right = [reply.label == row.label for reply, row in zip(replies, data.test, strict=True)]
    return {
        "choice": "self-training",
        "seed": start["seed"],
        "texts": start["choice"],
        "accuracy_before": start["accuracy"],
        "num_labels": len(labelled),
        "num_sure": outcome.num_sure,
        "num_pseudo_labels": outcome.num_pseudo_labels,
        "min_probability": round(outcome.min_probability, 3),
        "held_out_before": round(outcome.score_before, 4),
        "held_out_after": None if outcome.score_after is None else round(outcome.score_after, 4),
        "accuracy": round(float(np.mean(right)), 4),
    }


if __name__ == "__main__":
    main()
