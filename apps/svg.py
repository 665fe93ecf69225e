"""SVG elements of charts as text, coloured by the style sheet of the page around them."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

WIDTH = 560  # of a chart, in its own units

# constants, so that whatever comes from data is escaped when it is put in
_HEAD = Markup('<svg class="{}" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">')
_RECT = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
_LINE = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>')
_POLYLINE = Markup('<polyline class="{}" points="{}"/>')
_TEXT = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')


def svg(parts: Sequence[Markup], *, width: float, height: float, label: str, kind: str = "") -> Markup:
    """Return a chart of its parts; `label` says it in one sentence, for those who do not see it."""
    classes = f"chart {kind}".strip()
    return _HEAD.format(classes, width, height, width, label) + Markup("").join(parts) + Markup("</svg>")


def rect(kind: str, left: float, top: float, width: float, height: float, title: str) -> Markup:
    """Return a rectangle that says `title` when it is pointed at.

    Example:
        >>> print(rect("ours", 0, 0, 5, 9, "a < b"))
        <rect class="ours" x="0" y="0" width="5" height="9"><title>a &lt; b</title></rect>
    """
    return _RECT.format(kind, left, top, width, height, title)


def line(x1: float, y1: float, x2: float, y2: float, *, kind: str = "") -> Markup:
    """Return a straight line."""
    return _LINE.format(kind, x1, y1, x2, y2)


def polyline(kind: str, points: Iterable[tuple[float, float]]) -> Markup:
    """Return a line through points."""
    return _POLYLINE.format(kind, " ".join(f"{x},{y}" for x, y in points))


def text(left: float, top: float, words: str, *, anchor: str = "end", kind: str = "") -> Markup:
    """Return a text that ends at `left`, or begins there or lies around it as `anchor` says."""
    return _TEXT.format(kind, round(left, 1), round(top, 1), anchor, words)
