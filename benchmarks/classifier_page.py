"""The page of figures of `benchmarks.classifiers`, from the file of its results."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

__all__ = ["write_page"]

_TITLES = {
    "banking77": "Banking77: 10,003 / 3,080 rows, 77 labels",
    "clinc150": "CLINC150: 15,000 / 4,500 rows, 150 labels, and 1,000 texts out of scope",
    "banking77_oos": "Banking77-OOS: 50 labels; 27 near ones and CLINC150's out-of-scope texts are outside",
    "sentfin": "SEntFiN headlines about one company: 80 / 20 by hash of the title, 3 labels",
}
_COLUMNS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "ece": "ECE",
    "accepted_share": "accepted",
    "accepted_accuracy": "right of these",
    "coverage_at_98": "most at 98 % right",
    "near_auroc": "AUROC near",
    "far_auroc": "AUROC far",
    "far_recall_at_97": "strangers refused, 97 % pass",
    "trained_parameters": "trained",
    "size_bytes": "folder",
    "seconds": "seconds",
}
_INTRODUCTION = """\
# Classifiers by method

Written by `python -m benchmarks.classifiers --results FILE --out docs/benchmarks/classifiers.md` from the figures of
the commands below; each run measures its two baselines, too. Nothing is chosen on test rows: epochs, scales and
thresholds come from training rows that are held out, and no text out of scope is used before it is scored.

- *accepted* / *right of these*: share of the test texts at or above the threshold that training fitted for 98 % right,
  and the share of them that are right. *most at 98 % right*: the largest share for which 98 % are right, with the
  threshold chosen afterwards; a bound, not a result.
- *AUROC*: texts in scope against texts of no label, by `Classification.in_scope`; the frozen encoder's by its mean
  cosine to the five nearest training texts. *strangers refused*: at the threshold that 97 % of the test texts in
  scope pass.
- *trained*: weights that were trained; *folder*: what the model takes beside its base, for methods that add to one.
- Seconds are of a machine that did other work beside; accuracy does not depend on that.
"""


def write_page(results: Path, out: Path) -> None:
    """Write the tables of all results, means over seeds, and the commands they came from."""
    rows = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    lines = [_INTRODUCTION]
    for data, title in _TITLES.items():
        own = [row for row in rows if row["data"] == data]
        for shots in sorted({row["shots"] or 0 for row in own}):
            lines += _table(title, shots, [row for row in own if (row["shots"] or 0) == shots])
    lines += ["## Commands", ""]
    lines += [f"- `{command}`, {date}, {machine}" for command, date, machine in _runs(rows)]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(title: str, shots: int, rows: Sequence[dict[str, Any]]) -> list[str]:
    columns = {key: name for key, name in _COLUMNS.items() if any(key in row for row in rows)}
    head = f"## {title}" + (f"; {shots} examples per label" if shots else "")
    lines = [head, "", f"| Method | {' | '.join(columns.values())} | seeds |", "|---" * (len(columns) + 2) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = _newest([row for row in rows if row["method"] == method])
        cells = [_cell(key, [row[key] for row in own if key in row]) for key in columns]
        lines.append(f"| {method} | {' | '.join(cells)} | {len(own)} |")
    return [*lines, ""]


def _newest(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last result of each seed: a run that was repeated counts once."""
    return list({row["seed"]: row for row in rows}.values())


def _cell(key: str, values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = mean(values)
    if key == "seconds":
        return f"{middle:.0f}"
    if key == "trained_parameters":
        return f"{middle / 1e6:.2f} M"
    if key == "size_bytes":
        return f"{middle / 1e6:.0f} MB"
    spread = f" (± {(max(values) - min(values)) / 2:.4f})" if key == "accuracy" and len(set(values)) > 1 else ""
    return f"{middle:.4f}{spread}"


def _runs(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return list(dict.fromkeys((row["command"], row["date"], row["machine"]) for row in rows))
