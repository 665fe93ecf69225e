"""Text of Word's paragraphs: what is shown of their runs, with raised numbers, readings, ticked boxes and signs."""

import re
from typing import Any

from retrievers.readers.inline import TICKED, UNTICKED, InlineText, Level, picture_words, symbol_text
from retrievers.readers.numerals import numeral
from retrievers.readers.word_styles import Look, WordStyles, read_look
from retrievers.readers.word_xml import WORD, attribute, child, switch, value

BOX = f"{WORD}txbxContent"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same once more, for old Word
NOT_TEXT = frozenset({BOX, FALLBACK, *(f"{WORD}{tag}" for tag in ("pPr", "rPr", "sdtPr", "del", "moveFrom"))})
_WORD_2010 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_AS_TEXT = {f"{WORD}tab": " ", f"{WORD}br": "\n", f"{WORD}cr": "\n", f"{WORD}noBreakHyphen": "-"}
_SHORT_NUMBER = re.compile(r"\s*[-−+]?\d{1,3}\s*")
_MATH_LEVELS = {f"{_MATH}sup": Level.SUPER, f"{_MATH}sub": Level.SUB}


class ParagraphReader:
    """Reads the text of paragraphs, and remembers the notes they refer to, in their order.

    Left out is what no reader of the finished document sees as valid: hidden, deleted and struck text.
    """

    def __init__(self, styles: WordStyles) -> None:
        self.notes: list[tuple[str, str, str]] = []  # (kind, id, mark)
        self._styles = styles
        self._num_notes = {"footnote": 0, "endnote": 0}

    def text(self, paragraph: Any) -> str:
        """Return the text of a paragraph without that of its text boxes; line breaks stay."""
        found = InlineText()
        self._walk(paragraph, found, self._styles.look(value(child(paragraph, "pPr"), "pStyle")))
        return found.take_lines()

    def is_gone(self, paragraph: Any) -> bool:
        """Return whether the end of a paragraph is deleted or hidden: without text, nothing of it is left."""
        properties = child(child(paragraph, "pPr"), "rPr")
        return child(properties, "del") is not None or bool(switch(properties, "vanish"))

    def _walk(self, element: Any, found: InlineText, look: Look) -> None:
        for part in element:
            if not isinstance(part.tag, str) or part.tag in NOT_TEXT:
                continue
            if part.tag == f"{WORD}r":
                self._read_run(part, found, look)
            elif part.tag in _MATH_LEVELS:
                self._walk(part, found, Look(level=_MATH_LEVELS[part.tag]).over(look))
            elif part.tag == f"{_MATH}f":
                self._read_fraction(part, found, look)
            elif not self._read_piece(part, found, look):
                self._walk(part, found, look)

    def _read_run(self, run: Any, found: InlineText, look: Look) -> None:
        properties = child(run, "rPr")
        own = read_look(properties).over(self._styles.look(value(properties, "rStyle")))
        look = own.over(look)
        if not (look.is_hidden or look.is_struck):
            self._walk(run, found, look)

    def _read_piece(self, part: Any, found: InlineText, look: Look) -> bool:
        """Read what has a text of its own, and return whether this was such a thing."""
        level = look.level or Level.BASE
        if part.tag in (f"{WORD}t", f"{_MATH}t"):
            text = part.text or ""
            # words are shifted to stand well beside larger ones, a number of few digits to be a mark or a power
            if look.level is None and look.shifted and _SHORT_NUMBER.fullmatch(text):
                level = look.shifted
            found.add(symbol_text(text, look.font or ""), level)
        elif part.tag in _AS_TEXT:
            found.add(_AS_TEXT[part.tag])
        elif part.tag == f"{WORD}sym":
            found.add(_symbol(part), level)
        elif part.tag == f"{WORD}ruby":
            self._read_ruby(part, found, look)
        elif part.tag == f"{WORD}fldChar":
            found.add(_form_field(part))
        elif part.tag in (f"{WORD}footnoteReference", f"{WORD}endnoteReference"):
            self._read_note_mark(part, found)
        elif part.tag == f"{_DRAWING}docPr":
            found.add(f" {picture_words(part.get('descr', ''))} ")
        else:
            return False
        return True

    def _read_ruby(self, ruby: Any, found: InlineText, look: Look) -> None:
        base, reading = child(ruby, "rubyBase"), child(ruby, "rt")
        if base is not None:
            self._walk(base, found, look)
        if reading is not None:
            above = InlineText()
            self._walk(reading, above, look)
            found.add_reading(above.take())

    def _read_fraction(self, fraction: Any, found: InlineText, look: Look) -> None:
        """Read a fraction of a formula, whose parts must not run together to one number."""
        parts = []
        for name in ("num", "den"):
            text = InlineText()
            if (part := fraction.find(f"{_MATH}{name}")) is not None:
                self._walk(part, text, look)
            parts.append(text.take())
        found.add("/".join(part if part.isalnum() else f"({part})" for part in parts))

    def _read_note_mark(self, mark: Any, found: InlineText) -> None:
        kind = "footnote" if mark.tag == f"{WORD}footnoteReference" else "endnote"
        shown = ""  # a mark of the writer's own stands in the text behind it
        if attribute(mark, "customMarkFollows") in ("", "0", "false", "off"):
            self._num_notes[kind] += 1
            number = self._num_notes[kind]
            shown = str(number) if kind == "footnote" else numeral(number, "lowerRoman")
            found.add(shown, Level.SUPER)
        self.notes.append((kind, attribute(mark, "id"), shown))


def settle_checkboxes(root: Any) -> None:
    """Give the check boxes among the content controls the one sign for ticked and the one for not ticked.

    Which signs a document shows is its own choice, and Word's own choice for a ticked one looks like a refusal: ☒.
    """
    settled: set[Any] = set()
    for box in list(root.iter(f"{_WORD_2010}checkbox")):
        controls = list(box.iterancestors(f"{WORD}sdt"))
        if not controls or not settled.isdisjoint(controls):  # a check box holds no other one
            continue
        settled.add(controls[0])
        content = child(controls[0], "sdtContent")
        checked = box.find(f"{_WORD_2010}checked")
        is_ticked = checked is not None and checked.get(f"{_WORD_2010}val", "1") not in ("0", "false")
        signs = [TICKED if is_ticked else UNTICKED]
        for element in list(content.iter(f"{WORD}t", f"{WORD}sym")) if content is not None else ():
            element.tag = f"{WORD}t"
            element.text = signs.pop() if signs else ""


def _symbol(element: Any) -> str:
    try:
        code = int(attribute(element, "char"), 16)
    except ValueError:
        return ""
    font = attribute(element, "font")
    return symbol_text(chr(code | 0xF000 if code < 0x100 else code), font) if code < 0x10000 else ""


def _form_field(mark: Any) -> str:
    """Return the state of an old form's check box or list, which is no text in the document."""
    data = child(mark, "ffData")
    box, choices = child(data, "checkBox"), child(data, "ddList")
    if box is not None:
        checked = switch(box, "checked")
        return TICKED if (switch(box, "default") if checked is None else checked) else UNTICKED
    if choices is not None:
        entries = [attribute(entry, "val") for entry in choices.iter(f"{WORD}listEntry")]
        chosen = value(choices, "result") or value(choices, "default") or "0"
        return entries[int(chosen)] if chosen.isdecimal() and int(chosen) < len(entries) else ""
    return ""
