"""Bytes of files as text: UTF-8, or what a byte-order mark says; what else they look like is named, never guessed."""

import re
from collections.abc import Iterator

from llms.errors import TextEncodingError

# the mark of UTF-32 comes first, as it begins with that of UTF-16
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_WIDE_CODECS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_USERS = {"gb18030": "Chinese Windows programs", "windows-1252": "Western Windows programs"}
_EVERYDAY_SHARE = 0.8  # of a text's characters; of one read in a wrong encoding about half are everyday ones
_COMMON_BIG5 = bytes(range(0xA1, 0xC7))  # first bytes of the 5,401 common characters of traditional Chinese, and signs
_NUM_LOOKED_AT = 2_000
_MOST_BROKEN = 20  # one broken byte in so many characters, beyond which a file is no text
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_LONGEST_ACCENTED = 2  # letters with accents that stand side by side in words of Western languages


def decode_text(raw: bytes, *, charset: str = "utf-8") -> str:
    r"""Return the bytes of a file as text with `\n` as the only line end; a byte-order mark outweighs `charset`.

    Raises:
        TextEncodingError: if they are not in that encoding; the message says what they look like and how to convert
            them.

    Example:
        >>> decode_text("退货\r\n".encode("utf-16"))
        '退货\n'
        >>> decode_text("退货须知".encode("gb18030"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        llms.errors.TextEncodingError: is no usable UTF-8 text: byte 0xcd at position 0; it can be read as GB18030, ...
    """
    text, problem = _decode(raw, charset, errors="strict")
    if problem:
        raise TextEncodingError(problem)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_rows(raw: bytes) -> tuple[str, str]:
    r"""Return a text whose rows are used one by one, and what is wrong with bytes in it, or an empty text.

    Bytes that are not UTF-8 become halves of surrogates, so that they harm no other row. Line ends stay as they are,
    since those within cells belong to them.

    Raises:
        TextEncodingError: if the whole is in an encoding whose rows cannot be told apart.

    Example:
        >>> text, problem = decode_rows(b"good\nbad \xff\n")
        >>> text, problem[:37]
        ('good\nbad \udcff\n', 'is no usable UTF-8 text: byte 0xff at')
    """
    return _decode(raw, "utf-8", errors="surrogateescape")


def has_raw_bytes(text: str) -> bool:
    r"""Return whether a text holds bytes that were not decoded, as `decode_rows` and Python's own streams keep them.

    Example:
        >>> has_raw_bytes("bad \udcff"), has_raw_bytes("half \ud800")
        (True, False)
    """
    return any("\udc80" <= character <= "\udcff" for character in text)


def likely_encoding(raw: bytes) -> str | None:
    """Return the encoding in which the beginning of a file makes sense, to be confirmed by a person; None for no text.

    UTF-8 also where some bytes are broken, as long as most of what is beyond ASCII is not.

    Example:
        >>> [likely_encoding(raw) for raw in ("退货须知".encode("gb18030"), "退货须知".encode(), bytes(9))]
        ['gb18030', 'utf-8', None]
    """
    if marked := next((codec for mark, codec in _MARKS if raw.startswith(mark)), None):
        return marked
    likely = None
    if b"\x00" in raw:
        likely = _likely_codec(raw)
        if likely in _WIDE_CODECS:
            return likely
    text = raw.decode("utf-8", "surrogateescape")
    broken = sum("\udc80" <= character <= "\udcff" for character in text)
    beyond = sum(character > "\x7f" for character in text)
    if broken * 2 <= beyond:
        num_controls = len(_CONTROLS.findall(text))
        return "utf-8" if num_controls * 2 <= len(text) else None
    likely = _likely_codec(raw)
    return likely or ("utf-8" if broken * _MOST_BROKEN < len(text) else None)


def _decode(raw: bytes, charset: str, *, errors: str) -> tuple[str, str]:
    marked = next((codec for mark, codec in _MARKS if raw.startswith(mark)), None)
    codec = marked or charset
    problem = ""
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        name = codec.removesuffix("-sig")
        problem = f"is no usable {name.upper()} text: byte 0x{raw[error.start]:02x} at position {error.start:,}"
        likely = _likely_codec(raw) if name == "utf-8" else None
        problem += f"; {_remedy(likely) if likely else 'save it as UTF-8'}"
        if errors == "strict" or name != "utf-8" or likely in _WIDE_CODECS:
            raise TextEncodingError(problem) from error
        text = raw.decode(codec, errors)
    else:
        # in UTF-16 and UTF-32 every other byte of a plain text is NUL, which is UTF-8, too
        if not marked and charset == "utf-8" and b"\x00" in raw and (likely := _likely_codec(raw)) in _WIDE_CODECS:
            msg = f"is no usable UTF-8 text: it holds NUL bytes; {_remedy(str(likely))}"
            raise TextEncodingError(msg)
    return text.lstrip("\ufeff"), problem  # some programs write a mark before each other's


def _remedy(codec: str) -> str:
    name = codec.upper().replace("-LE", "LE").replace("-BE", "BE")  # as iconv calls it
    written_by = f", which {_USERS[codec]} write" if codec in _USERS else " without a byte-order mark"
    return (
        f"it can be read as {name}{written_by}. "
        f'Convert it with "iconv -f {name} -t UTF-8 OLD > NEW", or save it as UTF-8'
    )


def _likely_codec(raw: bytes) -> str | None:
    """Return the encoding that makes everyday text of bytes that are not UTF-8, or None."""
    has_nul = b"\x00" in raw
    shares = {codec: _everyday_share(text) for codec, text in _readings(raw, has_nul=has_nul)}
    best = max(shares, key=shares.__getitem__, default=None)
    likely = best if best and shares[best] >= _EVERYDAY_SHARE else None
    if likely in (None, "gb18030") and not has_nul and _is_western(raw):
        return "windows-1252"
    return likely


def _readings(raw: bytes, *, has_nul: bool) -> Iterator[tuple[str, str]]:
    for codec in _WIDE_CODECS if has_nul else ("gb18030", *_WIDE_CODECS):
        try:
            yield codec, raw.decode(codec)
        except UnicodeDecodeError:
            continue


def _everyday_share(text: str) -> float:
    if not text or _CONTROLS.search(text):
        return 0.0
    sample = text[:_NUM_LOOKED_AT]
    return sum(map(_is_everyday, sample)) / len(sample)


def _is_everyday(character: str) -> bool:
    if character < "\u0180" or "가" <= character <= "힣":
        return True
    try:
        return bool(character.encode("gb2312"))  # Greek, Cyrillic and kana are in it, too
    except UnicodeEncodeError:
        first = character.encode("big5", "ignore")[:1]
        return first != b"" and first in _COMMON_BIG5


def _is_western(raw: bytes) -> bool:
    """Return whether all bytes beyond ASCII could be accented letters of words or signs that stand alone."""
    for found in _HIGH_BYTES.finditer(raw):
        beside = raw[max(0, found.start() - 1) : found.start()] + raw[found.end() : found.end() + 1]
        is_word = any(chr(byte).isalpha() for byte in beside)
        is_sign = len(found.group()) == 1 and not found.group().decode("cp1252", "replace").isalpha()
        if len(found.group()) > _LONGEST_ACCENTED or not (is_word or is_sign):
            return False
    return True
