"""PPTX reader: the visible slides one after the other, with their titles, lists, tables and notes."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from retrievers.errors import DocumentError
from retrievers.readers.archive import has_pictures, open_archive, refusing_damage
from retrievers.readers.extract import PICTURES_ONLY, Extract, TextBlocks, check_document_chars, join_pages
from retrievers.readers.inline import InlineText, Level, picture_words
from retrievers.readers.numerals import numeral
from retrievers.readers.tables import Cell, add_table, place_cells

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_NUMBER_STYLES = {
    "arabic": "decimal",
    "alphaLc": "lower-alpha",
    "alphaUc": "upper-alpha",
    "romanLc": "lower-roman",
    "romanUc": "upper-roman",
    "circleNum": "decimalEnclosedCircle",
    "ea1Chs": "cjk-ideographic",
    "ea1Cht": "cjk-ideographic",
    "ea1Jpn": "cjk-ideographic",
}
_NUMBERING = re.compile(rf"({'|'.join(_NUMBER_STYLES)})\w*?(ParenBoth|ParenR|Period|Plain)?")
_MAX_LEVEL = 8  # as in PowerPoint
_MAX_START = 32_767
_AROUND = {"ParenBoth": "({})", "ParenR": "{})", "Period": "{}.", "Plain": "{}"}


def read_pptx(raw: bytes) -> Extract:
    """Return the text of a presentation and where each slide begins in it; a hidden slide has no text.

    A slide's title is a heading, and its notes follow it. Slide numbers, dates and footers are left out, and so is
    struck text; merged cells of tables are repeated. Charts, drawings made of diagrams and comments are not read.

    Raises:
        DocumentError: if the file is damaged, encrypted, an old `.ppt`, declares entities, or unpacks to more than is
            reasonable.
    """
    import pptx

    archive = open_archive(raw, kind="PPTX")
    with refusing_damage("PPTX"):
        presentation = pptx.Presentation(io.BytesIO(raw))
        slides = list(_slide_texts(presentation.slides))
        title = str(presentation.core_properties.title or "")
    why_empty = PICTURES_ONLY if has_pictures(archive) else ""
    return replace(join_pages(slides), title=title, why_empty=why_empty)


def _slide_texts(slides: Iterable[Any]) -> Iterator[str]:
    num_chars = 0
    seen: set[Any] = set()  # one part may be named as any number of slides, or as notes of each
    for slide in slides:
        parts = [slide.part, *([slide.notes_slide.part] if slide.has_notes_slide else [])]
        if not seen.isdisjoint(parts):
            msg = "names one slide twice; save it anew from an office program"
            raise DocumentError(msg)
        seen.update(parts)
        text = _slide_text(slide)
        num_chars += len(text)
        check_document_chars(num_chars)
        yield text


def _slide_text(slide: Any) -> str:
    if slide.element.get("show") in ("0", "false"):
        return ""
    blocks = TextBlocks()
    title = slide.shapes.title
    if title is not None:
        is_first = title.placeholder_format.type.name == "CENTER_TITLE"
        lines = (_paragraph_text(paragraph) for paragraph in _paragraphs(title))
        blocks.add_heading(" ".join(lines), level=1 if is_first else 2)
    for shape in _shapes(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _write_shape(blocks, shape)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        for paragraph in notes.paragraphs:
            blocks.add(_paragraph_text(paragraph._p))
    return blocks.text()


def _shapes(shapes: Iterable[Any]) -> Iterator[Any]:
    """Yield the shapes that are shown, also those in groups."""
    for shape in shapes:
        properties = next(shape._element.iter("{*}cNvPr"), None)
        if properties is not None and properties.get("hidden") in ("1", "true"):
            continue
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _write_shape(blocks: TextBlocks, shape: Any) -> None:
    is_placeholder = shape.is_placeholder
    kind = shape.placeholder_format.type.name if is_placeholder and shape.placeholder_format.type else ""
    if kind in ("SLIDE_NUMBER", "DATE", "FOOTER", "HEADER"):
        return
    if getattr(shape, "has_table", False):
        # the library's rows and cells look for the whole table anew each time
        rows = [[_cell(cell) for cell in row.tc_lst if not cell.is_spanned] for row in shape.table._tbl.tr_lst]
        add_table(blocks, list(place_cells([rows])))
    elif shape.has_text_frame:
        _write_paragraphs(blocks, shape, is_list=kind in ("BODY", "OBJECT"))
    else:
        properties = next(shape._element.iter("{*}cNvPr"), None)
        blocks.add(picture_words("" if properties is None else properties.get("descr", "")))


def _cell(cell: Any) -> Cell:
    text = _flat_text(cell)
    return Cell(text, cell.gridSpan, cell.rowSpan) if cell.is_merge_origin else Cell(text)


def _write_paragraphs(blocks: TextBlocks, shape: Any, *, is_list: bool) -> None:
    """Write the paragraphs of a shape; those of a body are a list unless they say otherwise."""
    numbers: dict[int, int] = {}
    for paragraph in _paragraphs(shape):
        text = _paragraph_text(paragraph)
        properties = paragraph.find(f"{_DRAWING}pPr")
        level = 0 if properties is None else min(int(properties.get("lvl", "0")), _MAX_LEVEL)
        for deeper in [depth for depth in numbers if depth > level]:
            del numbers[deeper]
        marker = _marker(properties, level, numbers, is_list=is_list) if text else ""
        if marker:
            blocks.add_item(text, marker=marker, depth=level + 1)
        else:
            blocks.add(text)


def _marker(properties: Any, level: int, numbers: dict[int, int], *, is_list: bool) -> str:
    """Return what stands before a paragraph, and count it in `numbers`, which has the last one of each level."""
    numbering = None if properties is None else properties.find(f"{_DRAWING}buAutoNum")
    if numbering is None:
        numbers.pop(level, None)
        has_bullet = properties is not None and properties.find(f"{_DRAWING}buChar") is not None
        has_none = properties is not None and properties.find(f"{_DRAWING}buNone") is not None
        return "- " if has_bullet or (is_list and not has_none) else ""
    number = numbers[level] = numbers.get(level, _start(numbering) - 1) + 1
    found = _NUMBERING.fullmatch(numbering.get("type", ""))
    style, around = (found.group(1), found.group(2) or "Period") if found else ("arabic", "Period")
    return f"{_AROUND[around].format(numeral(number, _NUMBER_STYLES[style]))} "


def _start(numbering: Any) -> int:
    return min(int(numbering.get("startAt", "1")), _MAX_START)


def _paragraphs(shape: Any) -> Iterator[Any]:
    yield from (paragraph._p for paragraph in shape.text_frame.paragraphs)


def _flat_text(cell: Any) -> str:
    return " ".join(filter(None, map(_paragraph_text, cell.iter(f"{_DRAWING}p"))))


def _paragraph_text(paragraph: Any) -> str:
    """Return the text of a paragraph without what is struck out; line breaks stay."""
    text = InlineText()
    for run in paragraph:
        if run.tag == f"{_DRAWING}br":
            text.add("\n")
        elif run.tag in (f"{_DRAWING}r", f"{_DRAWING}fld"):
            properties = run.find(f"{_DRAWING}rPr")
            if properties is None or properties.get("strike", "noStrike") == "noStrike":
                text.add(run.findtext(f"{_DRAWING}t") or "", _level(properties))
    return text.take_lines()


def _level(properties: Any) -> Level:
    baseline = "0" if properties is None else properties.get("baseline", "0")
    if baseline.rstrip("%") in ("0", ""):
        return Level.BASE
    return Level.SUB if baseline.startswith("-") else Level.SUPER
