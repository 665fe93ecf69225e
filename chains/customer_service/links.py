"""Links in answers, and whether their hosts are allowed."""

import re
import unicodedata
from collections.abc import Collection

from llms.texts import visible_text

_HOST = r"(?:[\w-]+\.)+[a-z]{2,24}"
# a scheme, or a host that a page would turn into a link
_LINK = re.compile(
    rf"(?:[a-z][a-z0-9+.-]*:)?//(?P<after_slashes>[^\s/?#)\]>\"']*)"
    rf"|\b(?P<scheme>javascript|data|vbscript|file|mailto|tel|sms):"
    rf"|(?<![\w@.])(?P<bare>{_HOST})(?=[/:?#])"
    rf"|(?<![\w@.])(?P<common>(?:[\w-]+\.)+(?:com|net|org|info|io|co|biz|app|dev|xyz|top|shop|site|online|ru|cn|tk|me))\b",
    flags=re.IGNORECASE,
)


def find_unlisted_link(text: str, hosts: Collection[str]) -> str | None:
    """Return the first link whose host is not among `hosts` (or below one of them), else None.

    A link is anything a page or a mail program might make one of: an address with a scheme, a host with a path, a
    host under a common ending, a scheme such as `javascript:`.

    Example:
        >>> find_unlisted_link("See https://help.shop.example/track.", ["shop.example"])
        >>> find_unlisted_link("See evil.example/login, please", ["shop.example"])
        'evil.example'
        >>> find_unlisted_link("Open [this](javascript:alert(1))", [])
        'javascript:'
    """
    for found in _LINK.finditer(unicodedata.normalize("NFKC", visible_text(text))):
        if found["scheme"]:
            return f"{found['scheme']}:"
        host = (found["after_slashes"] or found["bare"] or found["common"] or "").casefold()
        name = host.rpartition("@")[2].partition(":")[0].rstrip(".,")
        if not any(name == known.casefold() or name.endswith(f".{known.casefold()}") for known in hosts):
            return name or found.group()
    return None
