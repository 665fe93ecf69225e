"""The page of figures of `benchmarks.active_learning`: a table, and the learning curves as an SVG file beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["draw_curves", "write_page"]

WANTED = 0.90
_COLOURS = {"suggested": "#1f6f8b", "random": "#9a8c7a"}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 360, 52, 40, 16, 96
_EVERY = 2  # rounds of the table


def write_page(results: Path, out: Path) -> None:
    """Write the page, and a file of the same name that ends in .svg."""
    rows = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    curves = {choice: _curve(rows, choice) for choice in _COLOURS}
    out.parent.mkdir(parents=True, exist_ok=True)
    shared = {
        choice: {count: scores for count, scores in curve.items() if count in curves["suggested"]}
        for choice, curve in curves.items()
    }
    out.with_suffix(".svg").write_text(draw_curves(shared), encoding="utf-8")
    out.write_text(_page(rows, curves, out.with_suffix(".svg").name), encoding="utf-8")


def draw_curves(curves: Mapping[str, Mapping[int, Sequence[float]]]) -> str:
    """Return the mean accuracy by number of labels as SVG, one line per choice, the range over seeds shaded."""
    most = max(count for curve in curves.values() for count in curve)
    lowest = min(min(scores) for curve in curves.values() for scores in curve.values())
    floor = int(lowest * 10) / 10

    def x(count: float) -> float:
        return round(_LEFT + count / most * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(score: float) -> float:
        return round(_HEIGHT - _BOTTOM - (score - floor) / (1 - floor) * (_HEIGHT - _BOTTOM - _TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        'aria-label="Accuracy by number of labels" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for tenth in range(round(floor * 10), 11):
        height = y(tenth / 10)
        parts.append(f'<line x1="{_LEFT}" y1="{height}" x2="{x(most)}" y2="{height}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{height + 4}" text-anchor="end">{tenth / 10:.1f}</text>')
    parts += [
        f'<text x="{x(count)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{count}</text>'
        for count in range(0, most + 1, 200)
    ]
    parts.append(f'<text x="{x(most / 2)}" y="{_HEIGHT - 6}" text-anchor="middle">labels given</text>')
    for choice, curve in curves.items():
        colour, counts = _COLOURS[choice], sorted(curve)
        band = [(x(count), y(max(curve[count]))) for count in counts]
        band += [(x(count), y(min(curve[count]))) for count in reversed(counts)]
        line = [(x(count), y(float(np.mean(curve[count])))) for count in counts]
        parts.append(f'<polygon points="{_points(band)}" fill="{colour}" fill-opacity="0.2"/>')
        parts.append(f'<polyline points="{_points(line)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{line[-1][0] + 6}" y="{line[-1][1] + 4}" fill="{colour}">{choice}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across},{down}" for across, down in points)


def _curve(rows: Sequence[Mapping[str, Any]], choice: str) -> dict[int, list[float]]:
    curve: dict[int, list[float]] = {}
    for row in rows:
        if row["choice"] == choice:
            curve.setdefault(row["num_labels"], []).append(row["accuracy"])
    return curve


def _page(rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Mapping[int, Sequence[float]]], chart: str) -> str:
    suggested, drawn = curves["suggested"], curves["random"]
    seeds = len({row["seed"] for row in rows})
    counts = sorted(suggested)
    shown = [count for index, count in enumerate(counts) if index % _EVERY == 0 or count in (770, counts[-1])]
    lines = [
        "# Labels: how few Banking77 needs when a program says which",
        "",
        f"Command: `{rows[0]['command']}`. Measured on {rows[0]['date']}: {rows[0]['machine']}; {seeds} seeds.",
        "",
        "From nothing, 77 labels a round: texts that `suggest_rows` chooses from the 10,003 of the training part,",
        "beside texts drawn at random. The classifier is the frozen encoder with its fused head, fitted anew each",
        "round. Accuracy on the 3,080 test rows, which decide nothing; mean and lowest to highest seed.",
        "",
        f"![Accuracy by number of labels]({chart})",
        "",
        "| labels | suggested | random | labels met, suggested | labels met, random |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {count:,} | {_mean_and_range(suggested[count])} | {_mean_and_range(drawn[count])} "
        f"| {_labels_met(rows, 'suggested', count)} | {_labels_met(rows, 'random', count)} |"
        for count in shown
    ]
    lines += ["", *_findings(suggested, drawn), "", *_self_training(rows)]
    seconds = [row["suggest_cpu_s"] for row in rows if row["choice"] == "suggested"]
    lines += [
        "",
        f"Choosing the texts of a round took {np.median(seconds):.1f} s of processor time in the median, "
        f"{max(seconds):.1f} s at most.",
        "",
    ]
    return "\n".join(lines)


def _findings(suggested: Mapping[int, Sequence[float]], drawn: Mapping[int, Sequence[float]]) -> list[str]:
    enough = [count for count in sorted(suggested) if np.mean(suggested[count]) >= WANTED]
    least = [count for count in sorted(suggested) if min(suggested[count]) >= WANTED]
    at_random = [count for count in sorted(drawn) if np.mean(drawn[count]) >= WANTED]
    found = f"{enough[0]:,} labels on average, {least[0]:,} in the worst seed" if enough and least else "not reached"
    lines = [f"- {WANTED:.2f} with suggested texts: {found}."]
    beyond = ", ".join(f"{np.mean(drawn[count]):.4f} with {count:,}" for count in sorted(drawn) if count > 1_200)
    before = [count for count in sorted(drawn) if at_random and count < at_random[0]]
    first = f"reached between {max(before, default=0):,} and {at_random[0]:,}" if at_random else "not reached"
    lines.append(f"- {WANTED:.2f} with random texts: {first} (one seed beyond 1,200 labels: {beyond}).")
    return lines


def _self_training(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [row for row in rows if row["choice"] == "self-training"]
    if not found:
        return []
    lines = []
    for row in found:
        after = "-" if row["held_out_after"] is None else f"{row['held_out_after']:.4f}"
        lines.append(
            f"| {row['num_labels']} {row['texts']} | {row['num_sure']:,} | {row['num_pseudo_labels']:,} "
            f"| {row['held_out_before']:.4f} | {after} | {row['accuracy_before']:.4f} | {row['accuracy']:.4f} |"
        )
    return [
        "Self-training (`self_train`, method head) on the rest of the training part, whose labels it does not see.",
        "Held-out rows are a part of the labels given; suggested texts are hard ones, so their score is low.",
        "",
        "| labels | sure of | learnt | held out before | held out after | test, labels only | test, result |",
        "|---|---|---|---|---|---|---|",
        *lines,
    ]


def _labels_met(rows: Sequence[Mapping[str, Any]], choice: str, count: int) -> str:
    met = [row["labels_met"] for row in rows if (row["choice"], row["num_labels"]) == (choice, count)]
    return f"{np.mean(met):.0f}"


def _mean_and_range(scores: Sequence[float]) -> str:
    return f"{np.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})"
