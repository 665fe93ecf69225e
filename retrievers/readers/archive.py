"""Archives of Office files: refused before anything is unpacked where they would not fit into memory."""

import contextlib
import io
import zipfile
from collections.abc import Iterator

from retrievers.errors import DocumentError

_MAX_UNPACKED_BYTES = 300_000_000
_MAX_XML_BYTES = 60_000_000  # a tree of it takes about ten times as much memory
_MAX_PARTS = 10_000
_XML = (".xml", ".rels", ".vml")
_DECLARATIONS = tuple("<!DOCTYPE".encode(charset) for charset in ("utf-8", "utf-16-le", "utf-16-be"))
_OLD_KINDS = {"DOCX": "Word file (.doc)", "XLSX": "Excel file (.xls)", "PPTX": "PowerPoint file (.ppt)"}
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".svg", ".webp")


def open_archive(raw: bytes, *, kind: str, max_xml_bytes: int = _MAX_XML_BYTES) -> zipfile.ZipFile:
    """Return an Office file as an archive that is safe to unpack: zipfile reads no more of a part than was checked.

    Args:
        raw: the file.
        kind: its suffix in capitals, such as "DOCX", for messages.
        max_xml_bytes: how much may be text, for formats whose trees take more memory.

    Raises:
        DocumentError: if it is no archive, the old format of such files or encrypted, unpacks to too much, or
            declares entities.
    """
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        msg = f"is an encrypted or an old {_OLD_KINDS[kind]}; save it as .{kind.lower()} without a password"
        raise DocumentError(msg)
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
        parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        msg = f"cannot be read as {kind}: {error}; save it anew from an office program"
        raise DocumentError(msg) from error
    texts = [part for part in parts if part.filename.lower().endswith(_XML)]
    total, xml = sum(part.file_size for part in parts), sum(part.file_size for part in texts)
    if total > _MAX_UNPACKED_BYTES or xml > max_xml_bytes or len(parts) > _MAX_PARTS:
        msg = (
            f"unpacks to {total:,} bytes in {len(parts):,} parts, {xml:,} of them text; at most "
            f"{_MAX_UNPACKED_BYTES:,} in {_MAX_PARTS:,}, {max_xml_bytes:,} of them text, are read; split it"
        )
        raise DocumentError(msg)
    return archive


def refuse_entities(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose texts declare entities, which the format forbids and no office program writes.

    Raises:
        DocumentError: if one does, or cannot be unpacked.
    """
    for part in archive.infolist():
        if part.filename.lower().endswith(_XML):
            content = archive.read(part)
            if any(mark in content for mark in _DECLARATIONS):
                msg = "declares entities, which no office program does; save it anew from one"
                raise DocumentError(msg)


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
