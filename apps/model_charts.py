"""Charts of a training run as SVG text: learning curves and reliability diagrams."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from apps.svg import WIDTH, line, polyline, rect, svg, text
from llms.metrics import ReliabilityBin

_LEFT, _RIGHT = 52, 16
_HEIGHT, _BOTTOM, _LEGEND_ROW = 180, 34, 18
_MAX_STYLES = 4  # lines of the page's style sheet that can be told apart without colour
_SIDE, _COUNTS = 240, 44  # of the square of a reliability diagram, and of the rows' numbers below it

_DOT = Markup('<circle class="{}" cx="{}" cy="{}" r="3"><title>{}</title></circle>')


def pick_confused(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], *, limit: int = 30
) -> tuple[list[str], list[list[int]]]:
    """Return the labels of a confusion matrix with the most mistakes, and the part of the matrix they make up.

    A mistake counts for the label that was expected and for the one that was predicted. The order of labels stays.

    Example:
        >>> pick_confused(["a", "b", "c"], [[2, 0, 1], [0, 5, 0], [1, 0, 3]], limit=2)
        (['a', 'c'], [[2, 1], [1, 3]])
    """

    def mistakes(index: int) -> int:
        return sum(matrix[index]) + sum(row[index] for row in matrix) - 2 * matrix[index][index]

    most = sorted(range(len(labels)), key=mistakes, reverse=True)[:limit]
    kept = sorted(most)
    return [labels[i] for i in kept], [[matrix[i][j] for j in kept] for i in kept]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a value lies between two edges of a chart."""

    low: float
    high: float
    start: float
    end: float

    def position(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def draw_lines(
    entries: Sequence[Mapping[str, float]], names: Mapping[str, str], *, along: str = "epoch", label: str
) -> Markup:
    """Return one line per name over the course of a training; an entry without a value is left out of it.

    Args:
        entries: in any order; those without `along` are left out, and so are values that are no number.
        names: key of an entry -> its words in the legend; past four lines, styles repeat.
        along: key of the horizontal axis.
        label: the chart in one sentence, for those who do not see it.

    Example:
        >>> entries = [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.4}]
        >>> chart = draw_lines(entries, {"loss": "training loss"}, label="Loss by epoch")
        >>> chart.count("<circle"), "epoch 2, training loss: 0.400" in chart
        (2, True)
    """
    series = {name: _points(entries, along, name) for name in names}
    everything = [point for points in series.values() for point in points]
    top = 10 + _LEGEND_ROW * len(names)
    height = top + _HEIGHT + _BOTTOM
    if not everything:
        return svg([], width=WIDTH, height=1, label=label, kind="lines")
    xs, ys = sorted({x for x, _ in everything}), [y for _, y in everything]
    margin = (max(ys) - min(ys)) * 0.08 or 0.05 * abs(ys[0]) or 0.05
    across = _Scale(xs[0], xs[-1], _LEFT, WIDTH - _RIGHT)
    upwards = _Scale(min(ys) - margin, max(ys) + margin, top + _HEIGHT, top)
    parts = [*_draw_axes(across, upwards, xs, along)]
    for number, (name, points) in enumerate(series.items()):
        style = f"line-{number % _MAX_STYLES + 1}"
        parts += _draw_legend(number, style, names[name])
        parts += _draw_line(points, across, upwards, style, words=(along, names[name]))
    return svg(parts, width=WIDTH, height=height, label=label, kind="lines")


def _points(entries: Sequence[Mapping[str, float]], along: str, name: str) -> list[tuple[float, float]]:
    pairs = [(entry[along], entry[name]) for entry in entries if along in entry and name in entry]
    return sorted((x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y))


def _draw_axes(across: _Scale, upwards: _Scale, xs: Sequence[float], along: str) -> list[Markup]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        value = upwards.low + share * (upwards.high - upwards.low)
        y = upwards.position(value)
        parts += [line(across.start, y, across.end, y), text(across.start - 6, y + 4, f"{value:.3g}")]
    floor = upwards.start
    step = math.ceil(len(xs) / 8)  # more numbers than eight run into each other
    for x in xs[::step]:
        parts.append(text(across.position(x), floor + 15, f"{x:g}", anchor="middle"))
    parts.append(text((across.start + across.end) / 2, floor + 30, along, anchor="middle"))
    return parts


def _draw_legend(number: int, style: str, words: str) -> list[Markup]:
    y = 12 + number * _LEGEND_ROW
    sample = polyline(style, [(_LEFT, y - 4), (_LEFT + 28, y - 4)])
    return [sample, text(_LEFT + 36, y, words, anchor="start")]


def _draw_line(
    points: Sequence[tuple[float, float]], across: _Scale, upwards: _Scale, style: str, *, words: tuple[str, str]
) -> list[Markup]:
    spots = [(across.position(x), upwards.position(y)) for x, y in points]
    along, name = words
    dots = [
        _DOT.format(style, *spot, f"{along} {x:g}, {name}: {y:.3f}") for spot, (x, y) in zip(spots, points, strict=True)
    ]
    return [polyline(style, spots), *dots]


def draw_reliability(bins: Sequence[ReliabilityBin], *, label: str) -> Markup:
    """Return how often the model was right at each level of confidence, beside the diagonal where it should be.

    Below it stands how many rows there are at each level, since a bar of few rows says little.

    Example:
        >>> chart = draw_reliability([ReliabilityBin(0.8, 0.9, 0.85, 0.7, 12)], label="Reliability")
        >>> "0.85 sure on average, 0.70 right, 12 rows" in chart
        True
    """
    top, gap = 12, 14
    floor = top + _SIDE
    across, upwards = _Scale(0, 1, _LEFT, _LEFT + _SIDE), _Scale(0, 1, floor, top)
    base = floor + gap + _COUNTS
    most = max((bin_.num_rows for bin_ in bins), default=1)
    counted = _Scale(0, most, base, floor + gap)
    parts: list[Markup] = []
    for share in (0.0, 0.5, 1.0):
        y = upwards.position(share)
        parts += [line(_LEFT, y, _LEFT + _SIDE, y), text(_LEFT - 6, y + 4, f"{100 * share:.0f} %")]
        parts.append(text(across.position(share), base + 15, f"{100 * share:.0f} %", anchor="middle"))
    for bin_ in bins:
        title = f"{bin_.mean_confidence:.2f} sure on average, {bin_.accuracy:.2f} right, {bin_.num_rows} rows"
        left, width = across.position(bin_.low), round((bin_.high - bin_.low) * _SIDE - 1, 1)
        for kind, scale, value in (("right", upwards, bin_.accuracy), ("other", counted, float(bin_.num_rows))):
            tall = round(max(1.0, scale.start - scale.position(value)), 1)
            parts.append(rect(kind, left, round(scale.start - tall, 1), width, tall, title))
    parts += [line(_LEFT, floor, _LEFT + _SIDE, top, kind="ideal"), line(_LEFT, base, _LEFT + _SIDE, base)]
    parts.append(text(_LEFT - 6, floor + gap + 9, f"{most:,}"))
    parts.append(text(_LEFT + _SIDE / 2, base + 30, "probability that was given", anchor="middle"))
    return svg(parts, width=_LEFT + _SIDE + 24, height=base + 36, label=label, kind="square")
