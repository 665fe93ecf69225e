"""CSV texts with cells of any length."""

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader


def open_csv(text: str, *, delimiter: str = ",", strict: bool = False) -> "Reader":
    r"""Return a reader of a text's rows, whose cells may be as long as the text.

    Args:
        strict: an open quote and text behind a closed one are errors (`csv.Error`).

    Example:
        >>> list(open_csv('text,label\n"a, b",c\n'))
        [['text', 'label'], ['a, b', 'c']]
    """
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # a limit of the whole process, lower than a page's
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
