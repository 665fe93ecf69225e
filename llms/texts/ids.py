"""Ids of posts, users and items in the one form in which they are compared."""

from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from llms.texts.folding import fold_text


def fold_id(value: Any) -> Any:
    r"""Return an id in the form in which it is compared; what can be none is returned as it is, for pydantic to refuse.

    Whole numbers become texts, with and without `.0`. Spaces at the ends and characters that are not seen go,
    full-width letters and digits become the everyday ones; capital letters make a difference.

    Example:
        >>> [fold_id(value) for value in (" u042 ", 7, 7.0, "Ｕ7\u200b", True)]
        ['u042', '7', '7', 'U7', True]
    """
    if isinstance(value, str):
        return fold_text(value, keep_case=True)
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        return str(int(value))
    return str(int(float(value))) if float(value).is_integer() else value


Id = Annotated[str, Field(min_length=1), BeforeValidator(fold_id)]
"""A field for an id: a text that is not empty, or a whole number that becomes one; see `fold_id`."""
