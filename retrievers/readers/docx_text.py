"""DOCX reader: headings, lists and tables by their styles, in reading order, as Markdown-like text."""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from retrievers.errors import DocumentError
from retrievers.readers.extract import Extract, TextBlocks, markdown_table

_MAX_UNPACKED_BYTES = 300_000_000
_MAX_XML_BYTES = 60_000_000  # a tree of it takes about ten times as much memory
_MAX_PARTS = 10_000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TEXT = (f"{_WORD}t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t")
_AS_TEXT = {f"{_WORD}tab": " ", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}
_BOX = f"{_WORD}txbxContent"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same once more, for old Word
_NOT_TEXT = frozenset({_BOX, _FALLBACK, *(f"{_WORD}{tag}" for tag in ("pPr", "rPr", "del", "moveFrom"))})
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MAX_STYLE_CHAIN = 20


def read_docx(raw: bytes) -> Extract:
    """Return the text of a Word document; headings, lists and tables are marked as in Markdown.

    Text that was deleted with changes tracked is left out, inserted text is in. Headers, footers, notes and
    comments are not read. Linked files are never opened.

    Raises:
        DocumentError: if the file is damaged, encrypted, an old `.doc`, declares entities, or unpacks to more than
            is reasonable.
    """
    import docx

    _check_archive(raw)
    try:
        document = docx.Document(io.BytesIO(raw))
        if document.element.getroottree().docinfo.internalDTD is not None:  # the format forbids them
            msg = "declares entities, which no word processor does; save it anew from one"
            raise DocumentError(msg)
        writer = _DocumentWriter(document)
        writer.write(document.element.body)
    except (DocumentError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the parsers raise almost anything, RecursionError included
        msg = f"cannot be read as DOCX: {str(error) or type(error).__name__}; save it anew from a word processor"
        raise DocumentError(msg) from error
    return Extract(writer.blocks.text())


def _check_archive(raw: bytes) -> None:
    """Refuse what is no archive, or unpacks to too much: zipfile reads no more of a part than it says here."""
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        msg = "is an encrypted or an old Word file (.doc); save it as .docx without a password"
        raise DocumentError(msg)
    try:
        parts = zipfile.ZipFile(io.BytesIO(raw)).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        msg = f"cannot be read as DOCX: {error}; save it anew from a word processor"
        raise DocumentError(msg) from error
    total = sum(part.file_size for part in parts)
    xml = sum(part.file_size for part in parts if part.filename.lower().endswith((".xml", ".rels")))
    if total > _MAX_UNPACKED_BYTES or xml > _MAX_XML_BYTES or len(parts) > _MAX_PARTS:
        msg = (
            f"unpacks to {total:,} bytes in {len(parts):,} parts, {xml:,} of them text; at most "
            f"{_MAX_UNPACKED_BYTES:,} in {_MAX_PARTS:,}, {_MAX_XML_BYTES:,} of them text, are read; split it"
        )
        raise DocumentError(msg)


class _DocumentWriter:
    """Walks through a document and writes its blocks."""

    def __init__(self, document: Any) -> None:
        self.blocks = TextBlocks()
        self._styles = {_attribute(style, "styleId"): style for style in document.styles.element.iter(f"{_WORD}style")}
        self._number_formats = dict(_number_formats(document))
        self._counts: dict[tuple[str, int], int] = {}
        self._has_title = False

    def write(self, container: Any) -> None:
        for element in container:
            if element.tag == f"{_WORD}p":
                self._write_paragraph(element)
                for box in _boxes(element):
                    self.write(box)
            elif element.tag == f"{_WORD}tbl":
                self._write_table(element)
            elif isinstance(element.tag, str) and element.tag not in _NOT_TEXT:
                self.write(element)  # content controls, tracked insertions and the like wrap what they hold

    def _write_paragraph(self, paragraph: Any) -> None:
        text = _paragraph_text(paragraph)
        properties = [self._own(paragraph), *self._inherited(paragraph)]
        level = self._heading_level(properties)
        numbering = next((found for found in (_numbering(entry) for entry in properties) if found), None)
        if level:
            self.blocks.add_heading(text, level=level)
        elif numbering and numbering[0] != "0" and text:  # 0 takes a paragraph out of its style's list
            self.blocks.add_item(text, marker=self._marker(*numbering), depth=numbering[1] + 1)
        else:
            self.blocks.add(text)

    def _write_table(self, table: Any) -> None:
        rows = [_own_descendants(row, "tc") for row in _own_descendants(table, "tr")]
        if len(rows) == 1 and len(rows[0]) == 1:  # a frame around text
            self.write(rows[0][0])
            return
        self.blocks.add(markdown_table([[_cell_text(cell) for cell in row] for row in rows]))

    def _own(self, paragraph: Any) -> Any:
        return paragraph.find(f"{_WORD}pPr")

    def _inherited(self, paragraph: Any) -> Iterator[Any]:
        """Yield the style elements of a paragraph, its own style first, then what that is based on."""
        name = _value(self._own(paragraph), "pStyle")
        for _ in range(_MAX_STYLE_CHAIN):
            style = self._styles.get(name)
            if style is None:
                return
            yield style
            name = _value(style, "basedOn")

    def _heading_level(self, properties: list[Any]) -> int:
        """Return 1 to 9, one more below a title, or 0 for what is no heading."""
        for entry in properties:
            name = _value(entry, "name")
            outline = _value(entry, "outlineLvl") or _value(_child(entry, "pPr"), "outlineLvl")
            if name.lower() == "title":
                self._has_title = True
                return 1
            if found := _HEADING.fullmatch(name):
                return int(found.group(1)) + self._has_title
            if outline.isdecimal():
                return int(outline) + 1 + self._has_title if int(outline) < 9 else 0  # 9 stands for text
        return 0

    def _marker(self, number_id: str, depth: int) -> str:
        if self._number_formats.get((number_id, depth), "decimal") == "bullet":
            return "- "
        count = self._counts[number_id, depth] = self._counts.get((number_id, depth), 0) + 1
        for deeper in range(depth + 1, 9):
            self._counts.pop((number_id, deeper), None)
        return f"{count}. "


def _number_formats(document: Any) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield ((list, depth), "bullet" or a kind of number)."""
    parts = (rel.target_part for rel in document.part.rels.values() if rel.reltype.endswith("/numbering"))
    for root in (part.element for part in parts):
        abstract = {_attribute(entry, "abstractNumId"): entry for entry in root.iter(f"{_WORD}abstractNum")}
        for number in root.iter(f"{_WORD}num"):
            definition = abstract.get(_value(number, "abstractNumId"))
            for level in definition.iter(f"{_WORD}lvl") if definition is not None else ():
                yield (_attribute(number, "numId"), int(_attribute(level, "ilvl") or 0)), _value(level, "numFmt")


def _numbering(properties: Any) -> tuple[str, int] | None:
    """Return (list, depth) that a paragraph's or a style's properties name."""
    numbering = _child(properties, "numPr")
    if numbering is None:
        numbering = _child(_child(properties, "pPr"), "numPr")
    number_id = _value(numbering, "numId")
    depth = _value(numbering, "ilvl")
    return (number_id, int(depth) if depth.isdecimal() else 0) if number_id else None


def _paragraph_text(paragraph: Any) -> str:
    lines = "".join(_inline_text(paragraph)).split("\n")
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def _inline_text(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag in _TEXT:
            yield child.text or ""
        elif child.tag in _AS_TEXT:
            yield _AS_TEXT[child.tag]
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            yield from _inline_text(child)


def _cell_text(cell: Any) -> str:
    return " ".join(filter(None, (_paragraph_text(paragraph) for paragraph in cell.iter(f"{_WORD}p"))))


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Yield the text boxes that hang on a paragraph."""
    for box in paragraph.iter(_BOX):
        wrappers = [parent.tag for parent in box.iterancestors()]
        inner = wrappers[: wrappers.index(f"{_WORD}p")]
        if _FALLBACK not in inner and _BOX not in inner:
            yield box


def _own_descendants(element: Any, tag: str) -> list[Any]:
    """Return the rows of a table or the cells of a row, also those within content controls, but not of inner tables."""
    found: list[Any] = []
    for child in element:
        if child.tag == f"{_WORD}{tag}":
            found.append(child)
        elif child.tag in (f"{_WORD}sdt", f"{_WORD}sdtContent", f"{_WORD}ins", f"{_WORD}customXml"):
            found.extend(_own_descendants(child, tag))
    return found


def _child(element: Any, tag: str) -> Any:
    return None if element is None else element.find(f"{_WORD}{tag}")


def _value(element: Any, tag: str) -> str:
    child = _child(element, tag)
    return "" if child is None else _attribute(child, "val")


def _attribute(element: Any, name: str) -> str:
    return str(element.get(f"{_WORD}{name}", ""))
