"""Train and held-out splits by label, group or time, without leakage."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar, get_args

from llms.errors import OptionValueError, TrainingDataError
from llms.finetuning.data.examples import ClassifierRow, MultiLabelText, labels_of

SplitBy = Literal["label", "group", "time"]
R = TypeVar("R", bound=ClassifierRow)

_FEW_HELD_OUT = 3


def split_rows(
    rows: Sequence[R], *, held_out_share: float, seed: int, by: SplitBy = "label"
) -> tuple[list[R], list[R]]:
    """Return (kept, held out), where the held-out rows resemble what the model will meet.

    Args:
        rows: of one kind; the split depends on their content and the seed only, not on their order.
        held_out_share: of the rows, in (0, 1); met as nearly as the rule below allows.
        seed: draws the held-out rows; unused by "time".
        by: "label" holds out the same share of every label, at least one row of each. Of labels with few rows up
            to a fifth is held out, so that there are three rows to judge by. Equal texts stay on one side, so a
            label whose texts are all equal is only kept; a text that stands under several labels is kept too,
            unless a label has no other. Of rows with several labels the rarest counts, and every label keeps a row.
            "group" holds out whole groups, for figures on authors or conversations never seen; every label keeps
            a row. "time" holds out the latest rows, rows of one time together, for figures on the future: a
            label that is new there is held out only, which is what such figures are to show.

    Raises:
        OptionValueError: if `held_out_share` does not lie between 0 and 1.
        TrainingDataError: if rows lack the group or the time, or no such split is possible.
        OptionValueError: if `by` is another word.

    Example:
        >>> from llms.finetuning.data.examples import LabelledText
        >>> rows = [LabelledText(f"text {i}", "xy"[i % 2], group=f"author {i // 2}") for i in range(8)]
        >>> _, held_out = split_rows(rows, held_out_share=0.25, seed=0, by="group")
        >>> len(held_out), len({row.group for row in held_out})
        (2, 1)
    """
    if not 0 < held_out_share < 1:
        msg = f"held_out_share must lie between 0 and 1, got {held_out_share}"
        raise OptionValueError(msg)
    if by not in get_args(SplitBy):
        msg = f"by must be 'label', 'group' or 'time', got {by!r}"
        raise OptionValueError(msg)
    if by == "group":
        return _split_by_group(rows, held_out_share, seed)
    if by == "time":
        return _split_by_time(rows, held_out_share)
    if any(isinstance(row, MultiLabelText) for row in rows):
        return _split_by_rarest_label(rows, held_out_share, seed)
    return _split_by_label(rows, held_out_share, seed)


def draw(seed: int, key: str) -> bytes:
    """Return a key's position in an order of drawing that depends on nothing but the seed and the key.

    Example:
        >>> sorted("abcd", key=lambda key: draw(0, key)) == sorted("dcba", key=lambda key: draw(0, key))
        True
    """
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def _num_wanted(num_texts: int, held_out_share: float) -> int:
    return max(1, round(num_texts * held_out_share), min(_FEW_HELD_OUT, num_texts // 5))


def _split_by_label(rows: Sequence[R], held_out_share: float, seed: int) -> tuple[list[R], list[R]]:
    by_label: dict[str, dict[str, list[R]]] = {}
    for row in rows:
        by_label.setdefault(labels_of(row)[0], {}).setdefault(row.text.casefold(), []).append(row)
    num_labels = Counter(key for texts in by_label.values() for key in texts)
    kept: list[R] = []
    held_out: list[R] = []
    for texts in by_label.values():
        keys = sorted(texts, key=lambda key: (num_labels[key] > 1, draw(seed, key)))
        num_own = sum(num_labels[key] == 1 for key in keys)
        num_held_out = min(_num_wanted(len(keys), held_out_share), len(keys) - 1, num_own or len(keys))
        for index, key in enumerate(keys):
            (held_out if index < num_held_out else kept).extend(texts[key])
    return kept, held_out


def _split_by_rarest_label(rows: Sequence[R], held_out_share: float, seed: int) -> tuple[list[R], list[R]]:
    texts: dict[str, list[R]] = {}
    for row in rows:
        texts.setdefault(row.text.casefold(), []).append(row)
    labels = {key: {label for row in group for label in labels_of(row)} for key, group in texts.items()}
    num_texts = Counter(label for found in labels.values() for label in found)
    by_rarest: dict[str | None, list[str]] = {}
    for key, found in labels.items():
        rarest = min(found, key=lambda label: (num_texts[label], label), default=None)
        by_rarest.setdefault(rarest, []).append(key)

    num_kept = Counter(num_texts)
    held_out_keys: set[str] = set()
    # rare labels draw first, before the rows they share with others are gone
    for label in sorted(by_rarest, key=lambda label: (num_texts[label] if label else len(texts), label or "")):
        keys = sorted(by_rarest[label], key=lambda key: draw(seed, key))
        num_held_out = min(_num_wanted(len(keys), held_out_share), len(keys) - 1)
        for key in keys:
            if num_held_out and all(num_kept[other] > 1 for other in labels[key]):
                held_out_keys.add(key)
                num_kept.subtract(labels[key])
                num_held_out -= 1
    return _sides(rows, [row.text.casefold() in held_out_keys for row in rows])


def _split_by_group(rows: Sequence[R], held_out_share: float, seed: int) -> tuple[list[R], list[R]]:
    groups: dict[str, list[R]] = {}
    for row in rows:
        groups.setdefault(row.group or "", []).append(row)
    if "" in groups:
        raise TrainingDataError(_lacking("group", len(groups[""]), len(rows)))
    if len(groups) < 2:
        msg = f"a split by group needs at least two groups, found {len(groups)}; choose another column, or by='label'"
        raise TrainingDataError(msg)
    chosen = _choose_groups(groups, max(1, round(held_out_share * len(rows))), seed)
    return _sides(rows, [row.group in chosen for row in rows])


def _choose_groups(groups: Mapping[str, Sequence[R]], num_wanted: int, seed: int) -> set[str]:
    """Return groups with at most `num_wanted` rows together, or a single larger one where none is so small."""
    labels = {name: {label for row in group for label in labels_of(row)} for name, group in groups.items()}
    num_groups_with = Counter(label for found in labels.values() for label in found)
    order = sorted(groups, key=lambda name: draw(seed, name))
    chosen: set[str] = set()
    num_rows = 0
    for name in order:
        fits = num_rows + len(groups[name]) <= num_wanted
        if fits and all(num_groups_with[label] > 1 for label in labels[name]):
            chosen.add(name)
            num_rows += len(groups[name])
            num_groups_with.subtract(labels[name])
    if chosen:
        return chosen
    free = [name for name in order if all(num_groups_with[label] > 1 for label in labels[name])]
    if not free:
        msg = (
            f"no split by group is possible: each of the {len(groups)} groups holds every row of some label; "
            "add rows of these labels from other groups, or split by='label'"
        )
        raise TrainingDataError(msg)
    return {min(free, key=lambda name: len(groups[name]))}  # of equals the first drawn


def _split_by_time(rows: Sequence[R], held_out_share: float) -> tuple[list[R], list[R]]:
    times = [_instant(row.time) for row in rows if row.time is not None]
    if len(times) < len(rows):
        raise TrainingDataError(_lacking("time", len(rows) - len(times), len(rows)))
    num_at = Counter(times)
    if len(num_at) < 2:
        msg = f"a split by time needs rows of at least two times, found {len(num_at)}; choose another column"
        raise TrainingDataError(msg)
    num_wanted = held_out_share * len(rows)
    num_later = 0
    num_from: dict[datetime, int] = {}  # rows from this time on
    for time in sorted(num_at, reverse=True)[:-1]:  # the earliest rows are kept in any case
        num_later += num_at[time]
        num_from[time] = num_later
    first_held_out = min(num_from, key=lambda time: abs(num_from[time] - num_wanted))
    return _sides(rows, [time >= first_held_out for time in times])


def _instant(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _lacking(what: str, num_lacking: int, num_rows: int) -> str:
    return (
        f"{num_lacking} of {num_rows} rows have no {what}; name its column when reading ({what}_column=...), "
        "fill it in, or split by='label'"
    )


def _sides(rows: Sequence[R], is_held_out: Sequence[bool]) -> tuple[list[R], list[R]]:
    kept = [row for row, is_out in zip(rows, is_held_out, strict=True) if not is_out]
    return kept, [row for row, is_out in zip(rows, is_held_out, strict=True) if is_out]
