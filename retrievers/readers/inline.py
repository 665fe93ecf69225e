"""Text within a line: raised and lowered characters, readings above words, ticked boxes, signs of symbol fonts."""

import itertools
import re
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter


class Level(Enum):
    """Where characters stand in their line; the value is what marks them where Unicode has no such characters."""

    BASE = ""
    SUPER = "^"
    SUB = "_"


TICKED = "☑"
UNTICKED = "☐"

_SIGNS = {
    Level.SUPER: dict(zip("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ", strict=True)),
    Level.SUB: dict(zip("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎", strict=True)),
}
# raised by habit, read the same on the line: 1st, 2nd
_READ_ON_THE_LINE = frozenset(["st", "nd", "rd", "th", "er", "re", "ème", "ère", "º", "ª"])
_TRADE_MARKS = {"TM": "™", "SM": "℠"}
_WORD = re.compile(r"\w")
_BRACKETED = re.compile(r"\s*[\[(（【].*[\])）】]\s*", re.DOTALL)


@dataclass(slots=True)
class InlineText:
    """The text of one line or paragraph, put together from pieces that stand on, above or below the line.

    Example:
        >>> text = InlineText()
        >>> for piece, level in (("79", Level.BASE), ("1", Level.SUPER), (" euros, x", Level.BASE), ("max", Level.SUB)):
        ...     text.add(piece, level)
        >>> text.take()
        '79¹ euros, x_(max)'
    """

    _pieces: list[tuple[Level, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, text: str, level: Level = Level.BASE) -> None:
        """Add a piece."""
        self._pieces.append((level, text))

    def add_reading(self, text: str) -> None:
        """Add the reading of the word before it, in brackets; an empty one adds nothing."""
        if words := " ".join(text.split()):
            self.add(f"({words})")

    def take(self) -> str:
        """Return everything added so far, and begin anew."""
        parts = [""]
        # programs break a raised number into pieces as they like, so neighbours are marked as one
        for level, pieces in itertools.groupby(self._pieces, key=itemgetter(0)):
            text = _marked("".join(piece for _, piece in pieces), level, before=parts[-1][-1:])
            if text:
                parts.append(text)
        self._pieces.clear()
        return "".join(parts)

    def take_lines(self) -> str:
        """Return everything added so far with single spaces, without empty lines, and begin anew."""
        lines = (" ".join(line.split()) for line in self.take().split("\n"))
        return "\n".join(line for line in lines if line)

    def take_from(self, place: int) -> str:
        """Return what was added behind the first `place` pieces, and take it out."""
        taken = InlineText(self._pieces[place:])
        del self._pieces[place:]
        return taken.take()


def _marked(text: str, level: Level, *, before: str) -> str:
    """Return raised or lowered text so that it cannot be read as a part of what stands before it."""
    # signs such as * and ®, and numbers in brackets, cannot be read as a part of a number
    if level is Level.BASE or not _WORD.search(text) or _BRACKETED.fullmatch(text):
        return text
    inner = text.strip()
    left, _, right = text.partition(inner)
    if level is Level.SUPER and inner in _TRADE_MARKS:
        return f"{left}{_TRADE_MARKS[inner]}{right}"
    if level is Level.SUPER and before.isalnum() and inner in _READ_ON_THE_LINE:
        return text
    signs = _SIGNS[level]
    if all(character in signs for character in inner):
        return f"{left}{''.join(signs[character] for character in inner)}{right}"
    if all(character in signs.values() or not character.isalnum() for character in inner):
        return text  # raised signs that stand raised: "²" set as superscript
    return f"{left}{level.value}({inner}){right}"


# the fonts put signs where others have letters; Word writes their codes from U+F000 on
_WINGDINGS = {
    0x6C: "●",
    0x6E: "■",
    0x6F: UNTICKED,
    0x71: UNTICKED,
    0x72: UNTICKED,
    0x78: TICKED,
    0xA1: "○",
    0xA4: "◉",
    0xA7: "▪",
    0xA8: UNTICKED,
    0xD8: "➢",
    0xDF: "←",
    0xE0: "→",
    0xE1: "↑",
    0xE2: "↓",
    0xE8: "➔",
    0xF0: "⇨",
    0xFB: "✗",
    0xFC: "✓",
    0xFD: TICKED,
    0xFE: TICKED,
}
_WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: TICKED, 0x52: TICKED, 0x53: TICKED, 0x54: TICKED, 0xA3: UNTICKED}
_WEBDINGS = {0x61: "✓", 0x63: UNTICKED, 0x67: "■", 0x72: "✗"}
_SYMBOL = dict(
    zip(
        (*range(0x21, 0x7F), *range(0xA0, 0xFF)),
        "!∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
        "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊⟨®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪ ⟩∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
        strict=True,
    )
)
_SYMBOL_FONTS = {"wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2, "webdings": _WEBDINGS, "symbol": _SYMBOL}
_PRIVATE = range(0xF000, 0xF100)


def symbol_text(text: str, font: str) -> str:
    r"""Return the text with the signs of a symbol font as the characters they look like; ornaments give nothing.

    Example:
        >>> symbol_text("\uf0fe two years \uf0a8", "Wingdings"), symbol_text("\uf0a3", "Symbol")
        ('☑ two years ☐', '≤')
    """
    signs = _SYMBOL_FONTS.get(font.lower(), {})
    return "".join(
        signs.get(ord(character) - _PRIVATE.start, "") if ord(character) in _PRIVATE else character
        for character in text
    )


_FILE_NAME = re.compile(
    r"\S*\.(png|jpe?g|gif|svg|webp|bmp|tiff?|emf|wmf)|(img|image|dsc|picture|图片)[ _-]*\d*", re.IGNORECASE
)
_GENERATED = re.compile(r"automatically generated|AI-generated|自动生成|AI 生成|自動產生", re.IGNORECASE)


def picture_words(description: str) -> str:
    """Return the words that stand for a picture; nothing for the name of a file, or what a program guessed.

    Example:
        >>> picture_words("Included"), picture_words("IMG_2034.jpg"), picture_words("Picture 1"), picture_words("*")
        ('Included', '', '', '')
    """
    words = " ".join(description.split())
    is_useless = _FILE_NAME.fullmatch(words) or _GENERATED.search(words) or not _WORD.search(words)
    return "" if is_useless else words
