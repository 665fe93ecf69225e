"""Archives of Office files: refused before anything is unpacked where they would not fit into memory."""

import contextlib
import io
import zipfile
from collections.abc import Iterator

from retrievers.errors import DocumentError

_MAX_UNPACKED_BYTES = 300_000_000
_MAX_XML_BYTES = 60_000_000  # a tree of it takes about ten times as much memory
_MAX_PARTS = 10_000
_MAX_TAGS = 3_000_000  # an element of a tree takes a hundred bytes or two, however few it has in the file
_MAX_HEAD_BYTES = 64
# before the first < of a text in any charset that parsers of XML know; behind it, EBCDIC's <?xm
_BEFORE_XML = b"\xef\xbb\xbf\xfe\xff\x00 \t\r\n"
_XML_STARTS = (b"<", b"\x4c\x6f\xa7\x94")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DECLARATIONS = tuple("<!DOCTYPE".encode(charset) for charset in ("utf-8", "utf-16-le", "utf-16-be"))
_OLD_KINDS = {"DOCX": "Word file (.doc)", "XLSX": "Excel file (.xls)", "PPTX": "PowerPoint file (.ppt)"}
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".svg", ".webp")


def open_archive(raw: bytes, *, kind: str, max_tags: int = _MAX_TAGS) -> zipfile.ZipFile:
    """Return an Office file as an archive that is safe to unpack: zipfile reads no more of a part than was checked.

    What counts as text is told by its first bytes, never by its name: the file itself says which part is read as what.

    Args:
        raw: the file.
        kind: its suffix in capitals, such as "DOCX", for messages.
        max_tags: how many tags its texts may have, together; more where they are not held as trees.

    Raises:
        DocumentError: if it is no archive, the old format of such files or encrypted, unpacks to too much, or
            declares entities, which the format forbids and no office program writes.
    """
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        msg = f"is an encrypted or an old {_OLD_KINDS[kind]}; save it as .{kind.lower()} without a password"
        raise DocumentError(msg)
    with refusing_damage(kind):
        archive = zipfile.ZipFile(io.BytesIO(raw))
        _refuse_size(archive)
        _refuse_texts(archive, max_tags)
    return archive


def _refuse_size(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    total = sum(part.file_size for part in parts)
    if total > _MAX_UNPACKED_BYTES or len(parts) > _MAX_PARTS:
        msg = (
            f"unpacks to {total:,} bytes in {len(parts):,} parts; at most {_MAX_UNPACKED_BYTES:,} in {_MAX_PARTS:,} "
            "are read; split it"
        )
        raise DocumentError(msg)
    if any(part.compress_type not in _METHODS for part in parts):  # others may ask for gigabytes before they begin
        msg = "is packed in a way that no office program uses; save it anew from one"
        raise DocumentError(msg)


def _refuse_texts(archive: zipfile.ZipFile, max_tags: int) -> None:
    num_bytes = num_tags = 0
    for part in archive.infolist():
        if not _is_text(archive, part):
            continue
        num_bytes += part.file_size
        if num_bytes > _MAX_XML_BYTES:
            msg = f"unpacks to more than {_MAX_XML_BYTES:,} bytes of text, which is all that is read; split it"
            raise DocumentError(msg)
        content = archive.read(part)
        if any(mark in content for mark in _DECLARATIONS):
            msg = "declares entities, which no office program does; save it anew from one"
            raise DocumentError(msg)
        num_tags += content.count(b"<")
        if num_tags > max_tags:
            msg = f"has more than {max_tags:,} tags in its texts, which is all that is read; split it"
            raise DocumentError(msg)


def _is_text(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """Return whether a parser of XML would begin to read a part."""
    with archive.open(part) as content:
        head = content.read(_MAX_HEAD_BYTES).lstrip(_BEFORE_XML)
    return head.startswith(_XML_STARTS) or not head  # white space may go on


@contextlib.contextmanager
def refusing_damage(kind: str) -> Iterator[None]:
    """Turn whatever a parser raises for a damaged file into an error that says what to do.

    Raises:
        DocumentError: for any error but a lack of memory.
    """
    try:
        yield
    except (DocumentError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the parsers raise almost anything, RecursionError included
        msg = f"cannot be read as {kind}: {str(error) or type(error).__name__}; save it anew from an office program"
        raise DocumentError(msg) from error


def has_pictures(archive: zipfile.ZipFile) -> bool:
    """Return whether a file holds pictures."""
    return any(part.filename.lower().endswith(_PICTURES) for part in archive.infolist())
