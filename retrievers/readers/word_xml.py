"""Elements and attributes of Word's XML."""

from typing import Any

WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OFF = frozenset(["0", "false", "off", "none"])


def child(element: Any, tag: str) -> Any:
    """Return the child of this name in Word's namespace, or None."""
    return None if element is None else element.find(f"{WORD}{tag}")


def attribute(element: Any, name: str) -> str:
    """Return the attribute of this name in Word's namespace, or nothing."""
    return str(element.get(f"{WORD}{name}", ""))


def value(element: Any, tag: str) -> str:
    """Return the `val` of a child, or nothing."""
    found = child(element, tag)
    return "" if found is None else attribute(found, "val")


def switch(element: Any, tag: str) -> bool | None:
    """Return whether a child turns something on or off; None if it is not there."""
    found = child(element, tag)
    return None if found is None else attribute(found, "val") not in _OFF
