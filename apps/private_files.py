"""Files that hold words of people: only the user of the server reads them."""

import contextlib
from pathlib import Path

_OWNER_ONLY = 0o600


def make_private(path: Path) -> None:
    """Make a file that only its owner may read, or let only its owner read one that is there.

    SQLite's files beside a database get the rights of the database.

    Raises:
        OSError: if the file cannot be made.
    """
    path.touch(mode=_OWNER_ONLY)
    with contextlib.suppress(PermissionError):  # it belongs to somebody else, who chose its rights
        path.chmod(_OWNER_ONLY)
