"""Addresses of sources: which source one names, and what is wrong with one that names none."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from apps.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from apps.sources.source import PostSource

_FEED_SCHEMES = ("http", "https")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_FORMS = (
    "a folder, http(s)://... of a feed, or redis://HOST:6379/0?stream=NAME "
    "(also rediss:// and unix:///FILE?stream=NAME)"
)


def is_address(name: str) -> bool:
    """Return whether this looks like an address and not like a file or folder.

    Example:
        >>> is_address("redis://localhost/0?stream=posts"), is_address("posts.jsonl")
        (True, False)
    """
    return "://" in name


def check_address(address: str) -> str:
    """Return an address that a source can be opened with; nothing is asked.

    Raises:
        ValueError: if it can be none; the address is not in the message, since it may hold a password.
    """
    if not address.strip():
        msg = f"it must be {_FORMS}"
        raise ValueError(msg)
    if not is_address(address):
        return address
    parts = urlsplit(address)
    try:
        is_usable = parts.port != 0 and (parts.scheme == "unix" or bool(parts.hostname))
    except ValueError:
        is_usable = False
    if not is_usable or parts.scheme not in (*_FEED_SCHEMES, *_REDIS_SCHEMES):
        msg = f"it must be {_FORMS}"
        raise ValueError(msg)
    if parts.scheme in _REDIS_SCHEMES and not dict(parse_qsl(parts.query)).get("stream"):
        msg = "the address of a Redis server must name a stream: add ?stream=NAME"
        raise ValueError(msg)
    return address


def open_source(address: str, *, workspace: Path) -> "PostSource":
    """Return the source of an address; nothing is asked yet.

    Args:
        address: a folder, or what `check_address` takes.
        workspace: from which a folder is named, and whose name the group of Redis consumers has unless the address
            says `group=NAME`: workspaces must not take each other's posts.

    Raises:
        SettingsError: if the address can be none.
        MissingExtraError: if a package is not installed.
    """
    try:
        check_address(address)
    except ValueError as error:
        msg = f"a source cannot be opened: {error}"
        raise SettingsError(msg) from error
    if not is_address(address):
        from apps.sources.folder import FolderSource  # settings check addresses, and read no posts

        return FolderSource(workspace / address)
    parts = urlsplit(address)
    return _open_feed(address) if parts.scheme in _FEED_SCHEMES else _open_redis(address, workspace)


def open_sources(addresses: Iterable[str], *, workspace: Path) -> "list[PostSource]":
    """Return the sources of some addresses; see `open_source`."""
    return [open_source(address, workspace=workspace) for address in addresses]


def _open_feed(address: str) -> "PostSource":
    with _needing("feedparser", "feeds"):
        from apps.sources.feed import FeedSource
    return FeedSource(address)


def _open_redis(address: str, workspace: Path) -> "PostSource":
    with _needing("redis", "Redis streams"):
        from apps.sources.redis_stream import RedisSource
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    stream, group = options.pop("stream"), options.pop("group", f"tunechain-{workspace.name}")
    url = urlunsplit(parts._replace(query=urlencode(options)))
    try:
        return RedisSource(url, stream=stream, group=group)
    except (TypeError, ValueError) as error:
        msg = f"a source cannot be opened: {error}"
        raise SettingsError(msg) from error


@contextlib.contextmanager
def _needing(package: str, what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        msg = f'{what} need the package "{package}", which is not installed; install it with: pip install {package}'
        raise MissingExtraError(msg) from error
