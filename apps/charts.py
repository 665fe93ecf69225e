"""Charts of posts, confusion matrices and scores, as SVG text: pure functions from figures to markup."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from apps.svg import WIDTH, line, polyline, rect, svg, text
from chains.monitoring import Alert, TrendPoint
from llms.texts import show_share

_HOUR = timedelta(hours=1)
_MAX_BARS = 130  # more of them cannot be told apart at this width
_SMOOTHING = timedelta(hours=24)  # a share of the few posts of one bar jumps; of a day's posts it does not
_MIN_POSTS = 5

_LEFT, _RIGHT = 44, 8
_TOP, _POSTS_HEIGHT, _GAP, _SHARE_HEIGHT, _BOTTOM = 34, 100, 26, 76, 20  # above _TOP: a caption and the alert labels

# constants, so that whatever comes from data is escaped when it is put in
_TILTED_TEXT = Markup('<text transform="translate({} {}) rotate(-50)">{}</text>')
_CELL = Markup(
    '<g><rect class="cell" x="{0}" y="{1}" width="{2}" height="{2}" rx="3"/>'
    '<rect class="{3}" x="{0}" y="{1}" width="{2}" height="{2}" rx="3" fill-opacity="{4}"/><title>{5}</title></g>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendBar:
    """The posts of one topic in one stretch of time."""

    start: datetime
    posts: int
    negative: int
    positive: int
    baseline_share: float | None

    @property
    def neutral(self) -> int:
        """Posts that are neither negative nor positive."""
        return self.posts - self.negative - self.positive


def sum_trend(points: Sequence[TrendPoint]) -> tuple[timedelta, list[TrendBar]]:
    """Return the width of a bar and the bars of one topic's points, oldest first; stretches without posts have none.

    The width is the least of 1, 6, 12 and 24 hours, or a number of days, that gives at most 130 bars.

    Example:
        >>> hour = dict(topic="app", posts=2, negative=1, neutral=1, positive=0, baseline_share=0.2)
        >>> times = [datetime(2026, 3, 1, at, tzinfo=UTC) for at in (0, 1, 9)]
        >>> width, bars = sum_trend([TrendPoint(start=time, **hour) for time in times])
        >>> width == timedelta(hours=1), [bar.posts for bar in bars]
        (True, [2, 2, 2])
    """
    if not points:
        return _HOUR, []
    starts = [point.start for point in points]
    span_h = (max(starts) - min(starts)) / _HOUR
    widths_h = [1, 6, 12, 24]
    width_h = next((width for width in widths_h if span_h / width < _MAX_BARS), 24 * math.ceil(span_h / 24 / _MAX_BARS))
    groups: dict[int, list[TrendPoint]] = {}
    for point in sorted(points, key=lambda point: point.start):
        groups.setdefault(int(point.start.timestamp() // (width_h * 3600)), []).append(point)
    return width_h * _HOUR, [_add_points(index * width_h, group) for index, group in sorted(groups.items())]


def _add_points(start_h: int, points: Sequence[TrendPoint]) -> TrendBar:
    known = [point.baseline_share for point in points if point.baseline_share is not None]
    return TrendBar(
        start=datetime.fromtimestamp(start_h * 3600, UTC),
        posts=sum(point.posts for point in points),
        negative=sum(point.negative for point in points),
        positive=sum(point.positive for point in points),
        baseline_share=sum(known) / len(known) if known else None,
    )


@dataclass(frozen=True, slots=True)
class _TimeAxis:
    """Where a moment lies between the edges of a trend chart."""

    first: datetime
    last: datetime

    def position(self, moment: datetime) -> float:
        share = (min(max(moment, self.first), self.last) - self.first) / (self.last - self.first)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def draw_trend(
    width: timedelta,
    bars: Sequence[TrendBar],
    alerts: Sequence[Alert],
    *,
    label: str,
    words: Mapping[str, str] | None = None,
) -> Markup:
    """Return posts over time as stacked bars, above the share of negatives with its usual level; alerts are shaded.

    Args:
        width: of one bar.
        bars: oldest first; at least one.
        alerts: of the same topic.
        label: the chart in one sentence, for those who do not see it.
        words: translations of "alert", "posts", "negative share", "usual".

    Example:
        >>> bar = TrendBar(start=datetime(2026, 3, 1, tzinfo=UTC), posts=2, negative=1, positive=0, baseline_share=0.2)
        >>> print(draw_trend(timedelta(hours=1), [bar], [], label="Posts about the app")[:26])
        <svg class="chart" viewBox
    """
    axis = _TimeAxis(bars[0].start, bars[-1].start + width)
    said = {word: (words or {}).get(word, word) for word in ("alert", "posts", "negative share", "usual")}
    height = _TOP + _POSTS_HEIGHT + _GAP + _SHARE_HEIGHT + _BOTTOM
    parts = [
        *(_shade_alert(alert, axis, height, said["alert"]) for alert in alerts),
        *_draw_posts(bars, width, axis, said["posts"]),
        *_draw_shares(bars, axis, said),
        *_draw_days(axis, height),
    ]
    return svg(parts, width=WIDTH, height=height, label=label)


def _shade_alert(alert: Alert, axis: _TimeAxis, height: int, word: str) -> Markup:
    start, end = axis.position(alert.since), axis.position(alert.closed_at or axis.last)
    shade = rect("surge", start, _TOP, max(3.0, round(end - start, 1)), height - _TOP - _BOTTOM, alert.reason)
    at_edge = start > WIDTH * 0.75
    return shade + text(
        end if at_edge else start,
        _TOP - 6,
        f"{word}: {alert.since:%m-%d}",
        anchor="end" if at_edge else "start",
        kind="strong",
    )


def _draw_posts(bars: Sequence[TrendBar], width: timedelta, axis: _TimeAxis, word: str) -> list[Markup]:
    highest, floor = max(bar.posts for bar in bars), _TOP + _POSTS_HEIGHT
    parts = [line(_LEFT, floor, WIDTH - _RIGHT, floor)]
    parts += [text(_LEFT - 6, _TOP + 9, str(highest)), text(_LEFT - 6, floor, "0")]
    hours = int(width / _HOUR)
    parts.append(text(_LEFT, 11, f"{word} / {hours} h", anchor="start"))
    for bar in bars:
        left = axis.position(bar.start)
        thickness = max(1.0, round(axis.position(bar.start + width) - left - 0.8, 1))
        below = 0
        for kind in ("negative", "neutral", "positive"):
            count = getattr(bar, kind)
            if count:
                top = round(floor - (below + count) / highest * (_POSTS_HEIGHT - 4), 1)
                tall = round(count / highest * (_POSTS_HEIGHT - 4), 1)
                title = f"{bar.start.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {count} {kind} / {bar.posts}"
                parts.append(rect(kind, left, top, thickness, tall, title))
                below += count
    return parts


def _draw_shares(bars: Sequence[TrendBar], axis: _TimeAxis, said: Mapping[str, str]) -> list[Markup]:
    floor = _TOP + _POSTS_HEIGHT + _GAP + _SHARE_HEIGHT
    days = [(bar.start, _share_of_day(bars, at)) for at, bar in enumerate(bars)]
    shares = [(start, share) for start, share in days if share is not None]
    baseline = [(bar.start, bar.baseline_share) for bar in bars if bar.baseline_share is not None]
    highest = max([0.1, *(share for _, share in [*shares, *baseline])])

    def path(kind: str, values: Sequence[tuple[datetime, float]]) -> Markup:
        return polyline(
            kind,
            [
                (axis.position(start), round(floor - share / highest * (_SHARE_HEIGHT - 4), 1))
                for start, share in values
            ],
        )

    caption = f"{said['negative share']} (24 h) ┄ {said['usual']}"
    return [
        line(_LEFT, floor, WIDTH - _RIGHT, floor),
        text(_LEFT - 6, floor - _SHARE_HEIGHT + 9, show_share(highest)),
        text(_LEFT - 6, floor, "0 %"),
        path("usual", baseline),
        path("share", shares),
        text(_LEFT, floor - _SHARE_HEIGHT - 8, caption, anchor="start"),
    ]


def _share_of_day(bars: Sequence[TrendBar], at: int) -> float | None:
    """Return the share of negatives in the 24 hours that end with a bar; None for a handful of posts."""
    since = bars[at].start - _SMOOTHING
    day = [bar for bar in bars[: at + 1] if bar.start > since]
    posts = sum(bar.posts for bar in day)
    return sum(bar.negative for bar in day) / posts if posts >= _MIN_POSTS else None


def _draw_days(axis: _TimeAxis, height: int) -> list[Markup]:
    span = axis.last - axis.first
    style = "%m-%d" if span > timedelta(days=2) else "%m-%d %H:%M"
    moments = [axis.first, axis.first + span / 2, axis.last]
    anchors = ["start", "middle", "end"]
    return [
        text(axis.position(moment), height - 5, f"{moment:{style}}", anchor=anchor)
        for moment, anchor in zip(moments, anchors, strict=True)
    ]


def draw_confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]], *, label: str) -> Markup:
    """Return a confusion matrix as a coloured grid: one row per expected, one column per predicted label.

    The colour of a cell is its share of its row, right ones in another hue than wrong ones; each cell names its labels
    and count in a title.

    Example:
        >>> "expected a, predicted b: 1" in draw_confusion(["a", "b"], [[3, 1], [0, 2]], label="Confusion")
        True
    """
    longest = min(24, max((_visible_length(name) for name in labels), default=0))
    cell = 22 if len(labels) > 8 else 40
    left, top = 10 + round(6.4 * longest), 16 + round(5 * longest)
    parts: list[Markup] = []
    for row, (expected, counts) in enumerate(zip(labels, matrix, strict=True)):
        middle = top + row * cell + cell / 2
        parts.append(text(left - 6, middle + 4, _shorten(expected)))
        parts.append(_tilted(left + row * cell + cell / 2 + 3, top - 6, _shorten(expected)))
        total = max(1, sum(counts))
        for column, (predicted, count) in enumerate(zip(labels, counts, strict=True)):
            kind = "right" if row == column else "wrong"
            title = f"expected {expected}, predicted {predicted}: {count}"
            corner = (left + column * cell, top + row * cell)
            parts.append(_cell(corner, cell, kind, count / total, title))
            if count:
                strong = "number on" if count / total > 0.55 else "number"
                parts.append(text(corner[0] + cell / 2, middle + 4, str(count), anchor="middle", kind=strong))
    size = cell * len(labels)
    right = round(4.4 * longest)  # the last column's tilted name leans over the edge
    return svg(parts, width=left + size + right, height=top + size + 6, label=label, kind="confusion")


def _cell(corner: tuple[float, float], size: int, kind: str, share: float, title: str) -> Markup:
    visible = 0.0 if share == 0 else 0.15 + 0.85 * share
    return _CELL.format(corner[0], corner[1], size - 2, kind, round(visible, 2), title)


def draw_bars(values: Mapping[str, float], *, label: str, ours: str = "", decimals: int = 3) -> Markup:
    """Return horizontal bars, one per name in the given order; `ours` stands out.

    Example:
        >>> chart = draw_bars({"ours": 0.2, "popularity": 0.1}, label="NDCG", ours="ours")
        >>> chart.count("<rect"), "0.200" in chart
        (2, True)
    """
    longest = max((_visible_length(name) for name in values), default=0)
    left, row = 16 + round(6.8 * longest), 28
    highest = max([*values.values(), 1e-9])
    parts = []
    for at, (name, value) in enumerate(values.items()):
        width = round(max(0.0, value) / highest * (WIDTH - left - 64), 1)
        kind = "ours" if name == ours else "other"
        parts.append(text(left - 8, at * row + 19, name, kind="strong" if name == ours else ""))
        parts.append(rect(kind, left, at * row + 5, max(1.0, width), row - 8, f"{name}: {value:.{decimals}f}"))
        parts.append(text(left + width + 6, at * row + 19, f"{value:.{decimals}f}", anchor="start"))
    return svg(parts, width=WIDTH, height=max(1, len(values)) * row + 4, label=label)


def _visible_length(words: str) -> int:
    """Return how many narrow letters wide some words are; Chinese characters are two wide."""
    return sum(2 if ord(letter) >= 0x2E80 else 1 for letter in words)


def _shorten(words: str, limit: int = 24) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


def _tilted(left: float, top: float, words: str) -> Markup:
    return _TILTED_TEXT.format(round(left, 1), round(top, 1), words)
