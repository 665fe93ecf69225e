"""Separate stores below one folder, one per tenant: nothing of one can be found in another."""

from pathlib import Path
from urllib.parse import unquote

from llms.texts import check_text
from retrievers.errors import NamespaceError
from retrievers.store.database import DATABASE_NAME

_FOLDER = "namespaces"
_MAX_CHARS = 60  # every character may become nine in a file name, which may have 255
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def store_folder(folder: Path | None, namespace: str | None) -> Path | None:
    """Return where the store of a namespace lies; None for one in memory.

    A folder holds one store, or namespaces; there is no default among them.

    Raises:
        NamespaceError: if the namespace is missing, cannot be a name, or the folder holds a store without any.

    Example:
        >>> store_folder(Path("index"), "Shop A").as_posix()
        'index/namespaces/%53hop%20%41'
    """
    if namespace is None:
        if folder is not None and (names := list_namespaces(folder)):
            msg = f"{folder} holds the namespaces {', '.join(names[:5])}; say which one is meant: namespace=..."
            raise NamespaceError(msg)
        return folder
    check_text(namespace)
    if not 0 < len(namespace) <= _MAX_CHARS:
        msg = f"a namespace has 1 to {_MAX_CHARS} characters, got {namespace!r}"
        raise NamespaceError(msg)
    if folder is None:
        msg = f"the namespace {namespace!r} needs a folder; a store in memory is separate by itself"
        raise NamespaceError(msg)
    if (folder / DATABASE_NAME).exists():
        msg = f"{folder} holds one store without namespaces; open it without one, or name another folder"
        raise NamespaceError(msg)
    return folder / _FOLDER / _quoted(namespace)


def list_namespaces(folder: Path) -> list[str]:
    """Return the namespaces in a folder, in alphabetical order.

    Example:
        >>> list_namespaces(Path("no such folder"))
        []
    """
    root = folder / _FOLDER
    return sorted(unquote(path.name) for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _quoted(namespace: str) -> str:
    """Return a file name that no other namespace has, on disks that do not tell a from A either."""
    return "".join(
        character if character in _PLAIN else "".join(f"%{byte:02x}" for byte in character.encode())
        for character in namespace
    )
