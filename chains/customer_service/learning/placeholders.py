"""Placeholders that stand for private data in texts of logs, written as templates write their slots."""

import re

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def placeholders_of(text: str) -> list[str]:
    """Return the kind of each placeholder in a text, in order.

    Example:
        >>> placeholders_of("Dear {name}, order {order_number} comes tomorrow.")
        ['name', 'order_number']
    """
    return _PLACEHOLDER.findall(text)


def without_placeholders(text: str) -> str:
    """Return a text with a space where placeholders were.

    Example:
        >>> without_placeholders("order {order_number}?")
        'order  ?'
    """
    return _PLACEHOLDER.sub(" ", text)


def without_stray_braces(text: str) -> str:
    """Return a text in which braces stand around placeholders only, as templates need it.

    Example:
        >>> without_stray_braces("{Hello} {name}} {{")
        '{Hello} {name}) (('
    """
    pieces = re.split(rf"({_PLACEHOLDER.pattern.replace('(', '(?:')})", text)
    return "".join(piece if at % 2 else piece.replace("{", "(").replace("}", ")") for at, piece in enumerate(pieces))
