"""Charsets that files declare, and the decoding of documents."""

import re

from llms import texts
from llms.errors import TextEncodingError
from retrievers.errors import DocumentError

_DECLARATION = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w:.-]+)|<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w:.-]+)",
    re.IGNORECASE,
)
_DECLARATION_BYTES = 4096
# what browsers read under a name, where it is more than the name says
_READ_AS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "utf-16": "utf-8",  # the declaration itself was read as single bytes
    "utf-16le": "utf-8",
    "utf-16be": "utf-8",
}
# Python knows codecs that are no charsets of files, such as punycode
_CHARSET = re.compile(r"(utf-?8|gb|big5|iso-|windows-|cp|shift|sjis|euc|koi8|tis-|mac)", re.IGNORECASE)


def decode_text(raw: bytes, *, charset: str = "utf-8") -> str:
    r"""Return the bytes as text with `\n` as the only line end; a byte-order mark outweighs `charset`.

    Raises:
        DocumentError: if the bytes are not in that charset; the message says how to convert them.

    Example:
        >>> decode_text("退货\r\n".encode("utf-16"))
        '退货\n'
    """
    try:
        return texts.decode_text(raw, charset=charset)
    except TextEncodingError as error:
        raise DocumentError(str(error)) from error


def declared_charset(raw: bytes) -> str:
    """Return the codec for the charset that an HTML file declares near its beginning, or UTF-8.

    Raises:
        DocumentError: if it declares one that nobody knows.

    Example:
        >>> declared_charset(b'<meta charset="gb2312"><p>...')
        'gb18030'
    """
    found = _DECLARATION.search(raw, 0, _DECLARATION_BYTES)
    if not found:
        return "utf-8"
    name = (found.group(1) or found.group(2)).decode("ascii", errors="replace").lower()
    codec = _READ_AS.get(name, name)
    try:
        if not _CHARSET.match(codec):
            raise LookupError
        b"".decode(codec)
    except LookupError as error:
        msg = f"declares the charset {name!r}, which is unknown; save it as UTF-8 and declare that"
        raise DocumentError(msg) from error
    return codec
