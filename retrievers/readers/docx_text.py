"""DOCX reader: headings, lists and tables by their styles, in reading order, as Markdown-like text."""

import io
from collections.abc import Iterator
from typing import Any

from retrievers.readers.archive import has_pictures, open_archive, refusing_damage
from retrievers.readers.extract import PICTURES_ONLY, Extract, TextBlocks
from retrievers.readers.inline import InlineText, Level
from retrievers.readers.tables import Row, Span, add_table
from retrievers.readers.word_numbering import NUM_LEVELS, WordNumbering
from retrievers.readers.word_runs import BOX, FALLBACK, NOT_TEXT, ParagraphReader, settle_checkboxes
from retrievers.readers.word_styles import TITLE, ListPlace, WordStyles, heading_rank
from retrievers.readers.word_xml import WORD, attribute, child, switch, value

_MAX_COLUMNS = 1_000  # of a spanned cell; Word itself has 63


def read_docx(raw: bytes) -> Extract:
    """Return the text of a Word document; headings, lists and tables are marked as in Markdown.

    Lists and headings have the numbers that Word shows. Text that was deleted with changes tracked, hidden or struck
    out is left out, inserted text is in; footnotes and endnotes follow the text. Headers, footers and comments are
    not read. Linked files are never opened.

    Raises:
        DocumentError: if the file is damaged, encrypted, an old `.doc`, declares entities, or unpacks to more than
            is reasonable.
    """
    import docx

    archive = open_archive(raw, kind="DOCX")
    with refusing_damage("DOCX"):
        document = docx.Document(io.BytesIO(raw))
        writer = _DocumentWriter(document)
        writer.write(document.element.body)
        writer.write_notes()
    return Extract(writer.blocks.text(), why_empty=PICTURES_ONLY if has_pictures(archive) else "")


class _DocumentWriter:
    """Walks through a document and writes its blocks."""

    def __init__(self, document: Any) -> None:
        self.blocks = TextBlocks()
        elements = {attribute(style, "styleId"): style for style in document.styles.element.iter(f"{WORD}style")}
        self._parts = {
            rel.reltype.rsplit("/", 1)[-1]: rel.target_part
            for rel in document.part.rels.values()
            if not rel.is_external
        }
        self._styles = WordStyles(elements)
        self._paragraphs = ParagraphReader(self._styles)
        numbering = self._parts.get("numbering")
        self._numbering = WordNumbering(None if numbering is None else numbering.element, elements)
        self._has_title = False
        settle_checkboxes(document.element)

    def write(self, container: Any) -> None:
        for element in container:
            if element.tag == f"{WORD}p":
                self._write_paragraph(element)
                for box in _boxes(element):
                    self.write(box)
            elif element.tag == f"{WORD}tbl":
                self._write_table(element)
            elif isinstance(element.tag, str) and element.tag not in NOT_TEXT:
                self.write(element)  # content controls, tracked insertions and the like wrap what they hold

    def write_notes(self) -> None:
        """Write the notes that the text refers to, each behind its mark."""
        roots = {kind: self._root_of(f"{kind}s") for kind in ("footnote", "endnote")}
        elements = {
            (kind, attribute(note, "id")): note
            for kind, root in roots.items()
            if root is not None
            for note in root.iter(f"{WORD}{kind}")
        }
        for kind, id_, mark in list(self._paragraphs.notes):
            if (note := elements.pop((kind, id_), None)) is None:  # once, however often it is referred to
                continue
            text = InlineText()
            text.add(mark, Level.SUPER)
            text.add(f" {self._flat_text(note)}")
            self.blocks.add(text.take().strip())

    def _root_of(self, part: str) -> Any:
        from docx.oxml import parse_xml

        return parse_xml(self._parts[part].blob) if part in self._parts else None

    def _write_paragraph(self, paragraph: Any) -> None:
        text = self._paragraphs.text(paragraph)
        marker, depth = self._marker(paragraph, has_text=bool(text))
        level = self._heading_level(paragraph)
        if level:
            self.blocks.add_heading(f"{marker.removeprefix('- ')}{text}" if text else "", level=level)
        elif marker:
            self.blocks.add_item(text, marker=marker, depth=depth + 1)
        else:
            self.blocks.add(text)

    def _write_table(self, table: Any) -> None:
        rows = [row for row in _own_descendants(table, "tr") if not _is_hidden_row(row)]
        cells = [_own_descendants(row, "tc") for row in rows]
        if len(cells) == 1 and len(cells[0]) == 1:  # a frame around text
            self.write(cells[0][0])
            return
        num_header = 0
        while num_header < len(rows) and switch(child(rows[num_header], "trPr"), "tblHeader"):
            num_header += 1
        add_table(self.blocks, list(self._spans(rows)), num_header=num_header)

    def _spans(self, rows: list[Any]) -> Iterator[Row]:
        """Yield the cells of each row at their columns; a cell that goes on from above has the text from there."""
        hanging: dict[int, str] = {}  # by column, the texts of cells that may go on below
        for row in rows:
            spans: list[Span] = []
            at = min(_number(child(row, "trPr"), "gridBefore", 0), _MAX_COLUMNS)
            for cell in _own_descendants(row, "tc"):
                properties = child(cell, "tcPr")
                end = at + min(_number(properties, "gridSpan", 1), _MAX_COLUMNS)
                merge = child(properties, "vMerge")
                goes_on = merge is not None and attribute(merge, "val") != "restart" and at in hanging
                if goes_on:
                    spans.append(Span(at, end, hanging[at], is_carried=True))
                elif spans and value(properties, "hMerge") == "continue":
                    spans[-1] = Span(spans[-1].start, end, spans[-1].text)
                else:
                    spans.append(Span(at, end, self._flat_text(cell)))
                    hanging.pop(at, None)
                    if merge is not None:
                        hanging[at] = spans[-1].text
                at = end
            yield spans

    def _flat_text(self, container: Any) -> str:
        """Return the text of a cell or note in one line, with the numbers of its lists."""
        texts: list[str] = []
        for paragraph in container.iter(f"{WORD}p"):
            if any(parent.tag == FALLBACK for parent in paragraph.iterancestors()):
                continue
            text = self._paragraphs.text(paragraph)
            marker, _ = self._marker(paragraph, has_text=bool(text))
            texts.append(f"{marker}{text}" if text else "")
        return " ".join(filter(None, texts))

    def _marker(self, paragraph: Any, *, has_text: bool) -> tuple[str, int]:
        """Count a paragraph in its list, and return (what Word shows before it, its level counted from 0)."""
        own = child(paragraph, "pPr")
        style_id = value(own, "pStyle")
        place = ListPlace.of(own).over(self._styles.list_place(style_id))
        list_id = place.list_id
        if list_id in ("", "0") or (not has_text and self._paragraphs.is_gone(paragraph)):  # 0: out of its style's list
            return "", 0
        depth = int(place.level) if place.level else self._numbering.level_of_style(list_id, style_id)
        depth = min(depth, NUM_LEVELS - 1)
        return self._numbering.count(list_id, depth), depth

    def _heading_level(self, paragraph: Any) -> int:
        """Return 1 to 9, one more below a title, or 0 for what is no heading."""
        own = child(paragraph, "pPr")
        outline = value(own, "outlineLvl")
        rank = heading_rank(outline) if outline.isdecimal() else self._styles.rank(value(own, "pStyle"))
        if rank == TITLE:
            self._has_title = True
            return 1
        return rank + self._has_title if rank else 0


def _is_hidden_row(row: Any) -> bool:
    properties = child(row, "trPr")
    return bool(switch(properties, "hidden")) or child(properties, "del") is not None


def _number(properties: Any, tag: str, default: int) -> int:
    text = value(properties, tag)
    return int(text) if text.isdecimal() else default


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Yield the text boxes that hang on a paragraph itself, not on one within them."""
    for element in paragraph:
        if element.tag == BOX:
            yield element
        elif element.tag not in (FALLBACK, f"{WORD}p"):
            yield from _boxes(element)


def _own_descendants(element: Any, tag: str) -> list[Any]:
    """Return the rows of a table or the cells of a row, also those within content controls, but not of inner tables."""
    found: list[Any] = []
    for part in element:
        if part.tag == f"{WORD}{tag}":
            found.append(part)
        elif part.tag in (f"{WORD}sdt", f"{WORD}sdtContent", f"{WORD}ins", f"{WORD}customXml"):
            found.extend(_own_descendants(part, tag))
    return found
