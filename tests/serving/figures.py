"""Figures of a part, each beside its target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Figure", "Part", "at_least", "at_most", "none_of", "percentile", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure as the page shows it.

    Attributes:
        is_met: whether it keeps its target; None for one that has none.
        is_of_clock: whether it depends on how fast the machine is, and so is no rule for a test.
    """

    name: str
    value: str
    target: str = ""
    is_met: bool | None = None
    is_of_clock: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one part did, and what it found."""

    title: str
    about: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    def broken_rules(self) -> list[Figure]:
        """Return the figures that miss their target however slow the machine is."""
        return [figure for figure in self.figures if figure.is_met is False and not figure.is_of_clock]


def plain(name: str, value: str) -> Figure:
    """Return a figure without a target."""
    return Figure(name=name, value=value)


def none_of(name: str, count: int) -> Figure:
    """Return the count of something that must not happen."""
    return Figure(name=name, value=f"{count:,}", target="0", is_met=count == 0)


def at_most(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """Return a measured figure that has an upper bound."""
    return _measured(name, value, f"<= {limit:,g}{unit}", unit, is_met=value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """Return a measured figure that has a lower bound."""
    return _measured(name, value, f">= {limit:,g}{unit}", unit, is_met=value >= limit)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that so large a share of them does not exceed; nan of none.

    Example:
        >>> percentile([4, 1, 3, 2], 0.5)
        2
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def _measured(name: str, value: float, target: str, unit: str, *, is_met: bool) -> Figure:
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return Figure(name=name, value=f"{shown}{unit}", target=target, is_met=is_met, is_of_clock=True)
