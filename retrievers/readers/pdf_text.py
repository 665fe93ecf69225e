"""PDF reader: the pages one after the other, their broken lines joined to paragraphs."""

import contextlib
import io
import itertools
import logging
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrievers.errors import DocumentError, NoTextError
from retrievers.readers.extract import Extract, check_document_chars, join_pages

if TYPE_CHECKING:
    from pypdf import PdfReader


_MAX_PAGES = 20_000
_MAX_CONTENT_BYTES = 300_000_000  # unpacked, of all pages together; any number of them may share the same
_FULL_LINE_SHARE = 0.7  # of the longest line: a shorter one ends its paragraph
_ENDS = tuple(".!?:;。！？：；…")
_PAUSE = re.compile(r"[,.;!?] |[，。；！？]")
_CLOSING = "\"'”’»)）]】」』"
_COLUMN_GAP = re.compile(r" {3,}|\t+")
_WORD = re.compile(r"[^\W\d_]+")
_HYPHENS = ("-", "\u2010")
# no line of a list ends with one of these, so the next line goes on, also with a capital or a number
_LEANING = re.compile(
    r"an?|the|to|of|in|on|at|by|for|from|with|and|or|nor|is|are|was|were|be|been|will|can|may|must|not|no|this|that|these"
    r"|those|your|our|their|its|his|her|than|as|if|up|about"
    r"|der|die|das|den|dem|des|eine?[mnrs]?|und|oder|für|vo[nm]|mit|im|am|auf|aus|bei|nach|zu[mr]?|ist|sind|wird|werden"
    r"|nicht|keine?|l[ae]s?|une?|du|des?|et|ou|à|aux?|pour|par|avec|sur|dans|el|los|del|al|y|o|con|por|para|en",
    re.IGNORECASE,
)
# ends of words that are no words: a hyphen before one was set because the line was full
_WORD_END = re.compile(
    r"[ts]ions?|ments?|ings?|ness|ity|ities|[ae]nces?|ous|ful|ly|ung(en)?|keit(en)?|heit(en)?|lich(e[nr]?)?|ische?n?",
    re.IGNORECASE,
)
_HUNG = re.compile(r"und|oder|bzw|sowie|bis|and|or|to|et|ou|y", re.IGNORECASE)  # "Vor- und Nachteile"
_ADDRESS_BEGINS = re.compile(r"https?://|www\.")
_ADDRESS_GOES_ON = tuple("/.=&?#%_-")
_BEGINS_ANEW = re.compile(
    r"[-*+•·▪●◦]\s|\d{1,3}[.)、]|[（(][\d一二三四五六七八九十]{1,3}[)）]|[一二三四五六七八九十]{1,3}、|第.{1,4}[章节条]"
)


def read_pdf(raw: bytes) -> Extract:
    """Return the text of a PDF and where each page begins in it.

    A PDF knows neither headings nor paragraphs: lines that fill the page's width are joined, Chinese ones without
    a space. Pages without text, such as pictures between written pages, begin where the next one does.

    Raises:
        NoTextError: if it holds pictures of text instead of text.
        DocumentError: if the file is encrypted or damaged.
    """
    from pypdf.errors import FileNotDecryptedError

    try:
        with _quiet_log():
            texts = list(_page_texts(raw))
    except (DocumentError, MemoryError):
        raise
    except FileNotDecryptedError as error:
        raise DocumentError(_ENCRYPTED) from error
    except Exception as error:  # a damaged file makes pypdf raise almost anything, KeyError and RecursionError included
        msg = f"cannot be read as PDF: {str(error) or type(error).__name__}; print it to a new PDF"
        raise DocumentError(msg) from error
    words = known_words(texts)
    pages = [join_lines(text, words) for text in texts]
    if not any(pages):
        msg = f"has {len(pages)} pages without any text, as scans have; run text recognition (OCR) on it first"
        raise NoTextError(msg)
    return join_pages(pages)


_ENCRYPTED = "is encrypted; save a copy without a password"


def _page_texts(raw: bytes) -> Iterator[str]:
    """Yield the text of each page as it is written, line by line."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    _open_without_password(reader)
    if len(reader.pages) > _MAX_PAGES:
        msg = f"has {len(reader.pages):,} pages, at most {_MAX_PAGES:,} are read; split it"
        raise DocumentError(msg)
    num_chars = num_bytes = 0
    for page in reader.pages:
        contents = page.get_contents()
        num_bytes += 0 if contents is None else len(contents.get_data())
        if num_bytes > _MAX_CONTENT_BYTES:
            msg = f"draws pages from more than {_MAX_CONTENT_BYTES:,} bytes, which is all that is read; split it"
            raise DocumentError(msg)
        # fonts with broken tables give NUL and halves of surrogate pairs, which are no characters
        text = page.extract_text().replace("\x00", "").encode("utf-8", "replace").decode()
        num_chars += len(text)
        check_document_chars(num_chars)
        yield text


def _open_without_password(reader: "PdfReader") -> None:
    """Open a file that is only protected against changes, or refuse it."""
    from pypdf import PasswordType
    from pypdf.errors import DependencyError

    if not reader.is_encrypted:
        return
    try:
        opened = reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except (DependencyError, NotImplementedError):  # a cipher that pypdf cannot undo alone
        opened = False
    if not opened:
        raise DocumentError(_ENCRYPTED)


def known_words(pages: Sequence[str]) -> frozenset[str]:
    """Return the words of a document that stand in it whole: not before a hyphen that ends a line, nor after it."""
    words: set[str] = set()
    for page in pages:
        is_broken = False
        for line in page.split("\n"):
            found = _WORD.findall(line.casefold())
            words.update(found[is_broken:])
            is_broken = line.rstrip().endswith(_HYPHENS)
            if is_broken and found:
                words.discard(found[-1])
    return frozenset(words)


def join_lines(page: str, known: Collection[str] = frozenset()) -> str:
    r"""Return the page with the lines of a paragraph joined to one; lines of lists, addresses and tables stay apart.

    Lines are a paragraph if they fill the page's width, each goes on where the one before stopped, and the last ends
    a sentence, or the page in the midst of sentences. A hyphen at the end of a line is removed only where the joined
    word is known.

    Args:
        page: its lines as they are written.
        known: the words of the whole document, in small letters.

    Example:
        >>> join_lines("请在收到货物之后的七天\n之内退货。\n运费由我们承担。")
        '请在收到货物之后的七天之内退货。\n运费由我们承担。'
        >>> join_lines("This has a war-\nranty of two-\nyear terms.", known={"warranty"})
        'This has a warranty of two-year terms.'
    """
    lines = [_Line.of(line) for line in page.split("\n")]
    full = _FULL_LINE_SHARE * max(line.width for line in lines)
    goes_on = [_goes_on(line, following, full) for line, following in itertools.pairwise(lines)]
    parts: list[str] = []
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and goes_on[end - 1]:
            end += 1
        group = [line.text for line in lines[start:end]]
        is_sentence = group[-1].rstrip(_CLOSING).endswith(_ENDS)
        goes_over = end == len(lines) and any(map(_PAUSE.search, group))  # to the next page
        parts += [_join(group, known)] if is_sentence or goes_over else _join_hyphens(group, known)
        start = end
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip()


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a page."""

    text: str
    width: int  # wide characters count twice
    has_columns: bool
    shape: tuple[bool, ...]  # of each word, whether it has a digit

    @classmethod
    def of(cls, line: str) -> "_Line":
        cells = [" ".join(cell.split()) for cell in _COLUMN_GAP.split(line.strip())]
        text = "  ".join(cells)  # the gap between columns stays visible
        width = len(text) + sum(map(_is_wide, text))
        return cls(text, width, len(cells) > 1, tuple(any(map(str.isdigit, word)) for word in text.split()))


def _goes_on(line: _Line, following: _Line, full: float) -> bool:
    """Return whether the following line may go on with the sentence of a line."""
    if not line.text or not following.text or line.has_columns or following.has_columns:
        return False
    if line.text.endswith(_ENDS) or _BEGINS_ANEW.match(following.text):
        return False
    if _ends_with_hyphen(line.text) and (following.text[0].islower() or following.text[0].isdigit()):
        return True
    if line.width < full or (any(line.shape) and line.shape == following.shape):  # rows of one form are a list
        return False
    last, first = line.text.split()[-1], following.text[0]
    if last.endswith((",", "，", "、")) or _LEANING.fullmatch(last) or _ends_with_hyphen(line.text):
        return True
    return first.islower() or _is_wide(first) or _is_wide(last[-1]) or _is_open_address(last)


def _join(lines: Sequence[str], known: Collection[str]) -> str:
    text = [lines[0]]
    for line in lines[1:]:
        _append_to_line(text, line, known)
    return "".join(text)


def _join_hyphens(lines: Sequence[str], known: Collection[str]) -> Iterator[str]:
    """Yield lines that are no paragraph, joined only where one ends within a word."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if not _ends_with_hyphen(line):
            yield _join(waiting, known)
            waiting = []
    if waiting:
        yield _join(waiting, known)


def _append_to_line(parts: list[str], line: str, known: Collection[str]) -> None:
    last = parts[-1]
    if _ends_with_hyphen(last) and line[0].isalnum():
        before, behind = _WORD.findall(last)[-1:], _WORD.match(line)
        word = behind.group().casefold() if behind else ""
        if _HUNG.fullmatch(word):
            parts.append(f" {line}")
            return
        if before and last[-2].isalpha() and ((before[0].casefold() + word) in known or _WORD_END.fullmatch(word)):
            parts[-1] = last[:-1]
        parts.append(line)
    elif _is_open_address(last.split()[-1]) and re.match(r"\S*[=&?#%/_]", line):
        parts.append(line)
    else:
        parts.append(line if _is_wide(last[-1]) or _is_wide(line[0]) else f" {line}")


def _is_open_address(word: str) -> bool:
    """Return whether a word at the end of a line is an address that goes on in the next one."""
    return word.endswith(_ADDRESS_GOES_ON) and _ADDRESS_BEGINS.search(word) is not None


def _ends_with_hyphen(line: str) -> bool:
    return line.endswith(_HYPHENS) and line[-2:-1].isalnum()


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Keep pypdf from logging each small fault that it repaired."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
