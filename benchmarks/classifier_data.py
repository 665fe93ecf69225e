"""The public sets that classifiers are measured on, each with the split its page names."""

import csv
import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llms.finetuning.data.examples import LabelledText
from llms.finetuning.data.labelled_files import read_labelled_texts

__all__ = ["DATA_SETS", "DEFAULT_DATA", "PAIR", "DataSet", "take_shots"]

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
PAIR = re.compile(r"['\"]([^:]+?)['\"]: ?['\"](positive|neutral|negative)['\"]")


@dataclass(frozen=True, slots=True)
class DataSet:
    """Training and test rows, and texts that belong to no label; `far` and `near` differ in how alike they are."""

    train: list[LabelledText]
    test: list[LabelledText]
    outside: dict[str, list[str]] = field(default_factory=dict)


def take_shots(rows: list[LabelledText], num_shots: int, seed: int) -> list[LabelledText]:
    """Return `num_shots` rows of each label, drawn anew for every seed."""
    by_label: dict[str, list[LabelledText]] = {}
    for row in rows:
        by_label.setdefault(row.label, []).append(row)
    generator = random.Random(seed)
    return [row for label in sorted(by_label) for row in generator.sample(by_label[label], num_shots)]


def _banking77(folder: Path) -> DataSet:
    train, test = (
        read_labelled_texts(folder / "banking77" / f"{name}.csv", label_column="category").rows
        for name in ("train", "test")
    )
    return DataSet(train, test)


def _clinc150(folder: Path) -> DataSet:
    content = json.loads((folder / "clinc150" / "data_full.json").read_text("utf-8"))
    rows = {name: [LabelledText(text, label) for text, label in content[name]] for name in ("train", "test")}
    return DataSet(rows["train"], rows["test"], {"far": [text for text, _ in content["oos_test"]]})


def _banking77_oos(folder: Path) -> DataSet:
    def rows(part: str) -> list[LabelledText]:
        texts, labels = (
            (folder / "banking77_oos" / part / name).read_text("utf-8").split("\n")[:-1] for name in ("seq.in", "label")
        )
        pairs = zip(texts, labels, strict=True)
        return [LabelledText(text.strip(), label.strip()) for text, label in pairs if text.strip()]

    outside = {
        "near": [row.text for row in rows("id-oos/test")],
        "far": [row.text for row in rows("ood-oos/test")],
    }
    return DataSet(rows("train"), rows("test"), outside)


def _sentfin(folder: Path) -> DataSet:
    """Return headlines about a single company: a fifth of the normalised titles, by hash, is the test part."""
    kept: dict[str, list[LabelledText]] = {"train": [], "test": []}
    with (folder / "sentfin" / "SEntFiN.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pairs = PAIR.findall(row["Decisions"])
            if len(pairs) != 1:
                continue
            title = row["Title"].strip()
            normalised = "".join(c for c in title.casefold() if c.isalnum())  # equal titles fall on one side
            part = "test" if hashlib.sha256(normalised.encode()).digest()[0] < 256 // 5 else "train"
            kept[part].append(LabelledText(title, pairs[0][1]))
    return DataSet(kept["train"], kept["test"])


DATA_SETS: dict[str, Callable[[Path], DataSet]] = {
    "banking77": _banking77,
    "banking77_oos": _banking77_oos,
    "clinc150": _clinc150,
    "sentfin": _sentfin,
}
