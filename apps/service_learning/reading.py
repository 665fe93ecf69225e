"""Reading of support logs: their conversations as a stream, and what of them cannot be used."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from apps.service_learning.assembling import assemble
from apps.service_learning.guessing import guess_layout
from apps.service_learning.layout import Layout, Roles, SetAside
from apps.service_learning.sources import raw_conversations
from chains.customer_service.learning import LoggedConversation


def read_conversations(
    paths: Iterable[Path],
    *,
    columns: Mapping[str, str] | None = None,
    roles: Roles | None = None,
    pseudonym_key: bytes = b"",
) -> Iterator[LoggedConversation | SetAside]:
    """Yield the conversations of logs, and what of them cannot be used.

    The files are read as streams; messages that lie apart are put together on the disk, so that memory does not grow
    with a log. Reading again gives the same.

    Args:
        paths: as for `guess_layout`.
        columns: as for `guess_layout`.
        roles: as for `guess_layout`.
        pseudonym_key: a secret that makes the customers' pseudonyms; without one they could be found by trying.

    Raises:
        WorkspaceError: as from `guess_layout`, when the file's turn comes.
    """
    for path in paths:
        layout = guess_layout(path, columns=columns, roles=roles)
        yield from read_with(layout, pseudonym_key=pseudonym_key)


def read_with(layout: Layout, *, pseudonym_key: bytes = b"") -> Iterator[LoggedConversation | SetAside]:
    """Yield the conversations of the file of a layout that a person has seen, and what of it cannot be used."""
    for raw in raw_conversations(layout):
        if isinstance(raw, SetAside):
            yield raw
            continue
        conversation, aside = assemble(raw, layout.roles, pseudonym_key=pseudonym_key)
        yield from aside
        if conversation is not None:
            yield conversation
