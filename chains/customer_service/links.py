"""Links in answers, and whether their hosts are allowed."""

import re
import unicodedata
from collections.abc import Collection

from llms.texts import visible_text

_HOST = r"(?:[\w-]+\.)+[a-z]{2,24}"
# endings under which a host without a path is taken for one; a word of a sentence rarely follows a full stop so
_ENDINGS = (
    "com|net|org|info|io|co|biz|app|dev|xyz|top|shop|site|online|me|ai|ly|gg|tv|cc|to|ws|zip|mov|page|link|click|live|"
    "club|store|cloud|tech|pro|mobi|icu|vip|wang|win|work|world|zone|email|chat|support|help|care|fun|life|space|"
    "website|agency|finance|money|bank|pay|cash|loan|bid|trade|download|stream|tk|ml|ga|cf|gq|cn|ru|su|de|uk|fr|es|nl|"
    "pl|br|jp|kr|au|ca|us|eu|ch|se|cz|ua|ir|in|hk|tw|sg"
)
_SCHEMES = (
    "javascript|data|vbscript|file|blob|mailto|tel|sms|smsto|callto|facetime|sip|xmpp|skype|whatsapp|tg|weixin|alipays?|"
    "intent|market|magnet|ftp|sftp|ssh|ldap|ms-[a-z-]+|about|view-source"
)
_AS_BROWSERS_READ = str.maketrans({"\\": "/", "。": "."})
# a scheme, an address of mail, or a host that a page would turn into a link
_LINK = re.compile(
    rf"(?:[a-z][a-z0-9+.-]*:)?//(?P<after_slashes>[^\s/?#)\]>\"']*)"
    rf"|\b(?P<scheme>{_SCHEMES}):(?=\S)"
    rf"|[\w.+-]@(?P<mail>{_HOST})\b"
    rf"|(?<![\w@.])(?P<www>www\.(?:[\w-]+\.)*[\w-]+)"
    rf"|(?<![\w@.])(?P<bare>{_HOST})(?=[/:?#])"
    rf"|(?<![\w@.])(?P<common>(?:[\w-]+\.)+(?:{_ENDINGS}))\b(?!\.\w)"
    rf"|(?<![\w@.])(?P<mixed>(?=[\w.-]*[a-z])(?=[\w.-]*[\u0370-\u04ff])[\w-]+(?:\.[\w-]+)+)"  # look-alikes
    rf"|(?<![\w.])(?P<number>(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){{3}})(?![\w.])",
    flags=re.IGNORECASE,
)


def find_unlisted_link(text: str, hosts: Collection[str]) -> str | None:
    """Return the first link whose host is not among `hosts` (or below one of them), else None.

    A link is anything a page or a mail program might make one of: an address with a scheme, a host with a path, a
    host under a common ending, an address of mail, a number of a machine, a scheme such as `javascript:`. What browsers
    read as a slash or a full stop counts as one.

    Example:
        >>> find_unlisted_link("See https://help.shop.example/track.", ["shop.example"])
        >>> find_unlisted_link("See evil.example/login, please", ["shop.example"])
        'evil.example'
        >>> find_unlisted_link("Open [this](javascript:alert(1))", [])
        'javascript:'
    """
    plain = unicodedata.normalize("NFKC", visible_text(text)).translate(_AS_BROWSERS_READ)
    for found in _LINK.finditer(plain):
        if found["scheme"]:
            return f"{found['scheme']}:"
        host = (found[found.lastgroup or 0] or "").casefold()
        name = host.rpartition("@")[2].partition(":")[0].rstrip(".,")
        if not any(name == known.casefold() or name.endswith(f".{known.casefold()}") for known in hosts):
            return name or found.group()
    return None
