"""Whole numbers and numbers within bounds as regular expressions."""

__all__ = ["integer_pattern", "number_pattern"]

_LARGEST = 10**15 - 1  # a double holds every whole number of 15 digits
_FRACTION = "[.][0-9]{0,5}[1-9]"  # more than nothing, so that bounds need no look at it


def integer_pattern(lowest: int | None, highest: int | None) -> str:
    """Return a pattern for the whole numbers from `lowest` to `highest`, None for up to 15 digits.

    Raises:
        ValueError: if there is none.

    Example:
        >>> integer_pattern(7, 123)
        '([7-9]|[1-9][0-9]|1([0-1][0-9]|2[0-3]))'
    """
    low = -_LARGEST if lowest is None else lowest
    high = _LARGEST if highest is None else highest
    if low > high:
        msg = f"no whole number is at least {low} and at most {high}"
        raise ValueError(msg)
    parts = []
    if low < 0:
        parts.append("-" + _naturals(max(1, -high), -low))
    if high >= 0:
        parts.append(_naturals(max(0, low), high))
    return _one_of(parts)


def number_pattern(
    lowest: int | None, highest: int | None, *, excludes_lowest: bool = False, excludes_highest: bool = False
) -> str:
    """Return a pattern for numbers from `lowest` to `highest` with at most six decimals and no exponent.

    Raises:
        ValueError: if there is none.

    Example:
        >>> number_pattern(0, 1)
        '([0-1]|0[.][0-9]{0,5}[1-9])'
    """
    if lowest is None and highest is None:
        return "-?(0|[1-9][0-9]{0,14})([.][0-9]{1,6})?"
    low = -_LARGEST if lowest is None else lowest
    high = _LARGEST if highest is None else highest
    parts = []
    if low + excludes_lowest <= high - excludes_highest:
        parts.append(integer_pattern(low + excludes_lowest, high - excludes_highest))
    if max(low, 0) <= high - 1:  # the whole part of a number above 0
        parts.append(_naturals(max(low, 0), high - 1) + _FRACTION)
    if max(-high, 0) <= -low - 1:  # and of one below
        parts.append("-" + _naturals(max(-high, 0), -low - 1) + _FRACTION)
    if not parts:
        msg = f"no number lies between {low} and {high}"
        raise ValueError(msg)
    return _one_of(parts)


def _naturals(low: int, high: int) -> str:
    """Return a pattern for the numbers from `low` to `high`, both at least 0."""
    parts = []
    for size in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (size - 1) if size > 1 else 0)
        parts.append(_same_size(str(first), str(min(high, 10**size - 1))))
    return _one_of(parts)


def _same_size(low: str, high: str) -> str:
    size = len(low)
    if not low:
        return ""
    if low == high:
        return low
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        first = low[0] if low[0] == high[0] else f"[{low[0]}-{high[0]}]"
        return first + {1: "", 2: "[0-9]"}.get(size, f"[0-9]{{{size - 1}}}")
    if low[0] == high[0]:
        return low[0] + _same_size(low[1:], high[1:])
    parts = []
    above, below = int(low[0]), int(high[0])
    if set(low[1:]) != {"0"}:
        parts.append(low[0] + _same_size(low[1:], "9" * (size - 1)))
        above += 1
    last = None
    if set(high[1:]) != {"9"}:
        last = high[0] + _same_size("0" * (size - 1), high[1:])
        below -= 1
    if above <= below:
        parts.append(_same_size(f"{above}{'0' * (size - 1)}", f"{below}{'9' * (size - 1)}"))
    return _one_of([*parts, last] if last else parts)


def _one_of(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({'|'.join(parts)})"
