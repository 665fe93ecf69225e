"""Lazy package attributes, imported when they are first asked for (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose public names lie in modules that are slow to import.

    Args:
        package: its `__name__`.
        modules: the module, relative to the package, of each group of names.

    Example:
        >>> get = lazy_names("collections", {"abc": ["Sized"]})
        >>> get("Sized").__name__
        'Sized'
        >>> get("Sizes")
        Traceback (most recent call last):
        ...
        AttributeError: module 'collections' has no attribute 'Sizes'; it has Sized
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(homes))}"
            raise AttributeError(msg)
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get
