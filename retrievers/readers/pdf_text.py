"""PDF reader: the pages one after the other, their broken lines joined to paragraphs."""

import contextlib
import io
import logging
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrievers.errors import DocumentError
from retrievers.readers.extract import Extract

if TYPE_CHECKING:
    from pypdf import PdfReader


_MAX_PAGES = 20_000
_MAX_CHARS = 5_000_000
_FULL_LINE_SHARE = 0.7  # of the longest line: a shorter one ends its paragraph
_ENDS = tuple(".!?:;。！？：；…")
_BEGINS_ANEW = re.compile(
    r"[-*+•·▪●◦]\s|\d{1,3}[.)、]|[（(][\d一二三四五六七八九十]{1,3}[)）]|[一二三四五六七八九十]{1,3}、|第.{1,4}[章节条]"
)


def read_pdf(raw: bytes) -> Extract:
    """Return the text of a PDF and where each page begins in it.

    A PDF knows neither headings nor paragraphs: lines that fill the page's width are joined, Chinese ones without
    a space. Pages without text, such as pictures between written pages, begin where the next one does.

    Raises:
        DocumentError: if the file is encrypted, damaged, or holds pictures of text instead of text.
    """
    from pypdf.errors import FileNotDecryptedError

    try:
        with _quiet_log():
            pages = list(_page_texts(raw))
    except (DocumentError, MemoryError):
        raise
    except FileNotDecryptedError as error:
        raise DocumentError(_ENCRYPTED) from error
    except Exception as error:  # a damaged file makes pypdf raise almost anything, KeyError and RecursionError included
        msg = f"cannot be read as PDF: {str(error) or type(error).__name__}; print it to a new PDF"
        raise DocumentError(msg) from error
    if not any(pages):
        msg = f"has {len(pages)} pages without any text, as scans have; run text recognition (OCR) on it first"
        raise DocumentError(msg)
    starts, parts, at = [], [], 0
    for page in pages:
        if page and at:
            parts.append("\n\n")
            at += 2
        starts.append(at)
        parts.append(page)
        at += len(page)
    return Extract("".join(parts), page_starts=_next_of_empty(starts, pages))


_ENCRYPTED = "is encrypted; save a copy without a password"


def _page_texts(raw: bytes) -> Iterator[str]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    _open_without_password(reader)
    if len(reader.pages) > _MAX_PAGES:
        msg = f"has {len(reader.pages):,} pages, at most {_MAX_PAGES:,} are read; split it"
        raise DocumentError(msg)
    num_chars = 0
    for page in reader.pages:
        # fonts with broken tables give NUL and halves of surrogate pairs, which are no characters
        text = page.extract_text().replace("\x00", "").encode("utf-8", "replace").decode()
        num_chars += len(text)
        if num_chars > _MAX_CHARS:
            msg = f"holds more than {_MAX_CHARS:,} characters; split it"
            raise DocumentError(msg)
        yield join_lines(text)


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


def join_lines(page: str) -> str:
    r"""Return the page with the lines of a paragraph joined to one.

    Example:
        >>> join_lines("请在收到货物之后的七天\n之内退货。\n运费由我们承担。")
        '请在收到货物之后的七天之内退货。\n运费由我们承担。'
    """
    lines = [" ".join(line.split()) for line in page.split("\n")]
    full = _FULL_LINE_SHARE * max(map(len, lines))
    parts: list[str] = []
    previous = ""
    for line in lines:
        goes_on = len(previous) >= full and line and not previous.endswith(_ENDS) and not _BEGINS_ANEW.match(line)
        if parts and goes_on:
            _append_to_line(parts, line)
        else:
            parts.append(f"\n{line}" if parts else line)
        previous = line
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).strip()


def _append_to_line(parts: list[str], line: str) -> None:
    last = parts[-1]
    if last.endswith("-") and last[-2:-1].isalpha() and line[0].islower():
        parts[-1] = last[:-1]  # the typesetter's hyphen, far more often than the writer's
        parts.append(line)
    else:
        parts.append(line if _is_wide(last[-1]) or _is_wide(line[0]) else f" {line}")


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _next_of_empty(starts: list[int], pages: list[str]) -> tuple[int, ...]:
    """Let a page without text begin where the next one does, so that no character lies on it."""
    for index in range(len(starts) - 2, -1, -1):
        if not pages[index]:
            starts[index] = starts[index + 1]
    return tuple(starts)


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
