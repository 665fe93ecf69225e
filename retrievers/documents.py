"""Loading of files as documents: which files, their names, and limits of size."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from langchain_core.documents import Document

from llms.errors import InputTextError
from llms.texts import check_text
from retrievers.blocks import first_heading
from retrievers.errors import DocumentError, NoTextError
from retrievers.readers.docx_text import read_docx
from retrievers.readers.encoding import decode_text
from retrievers.readers.extract import MAX_DOCUMENT_CHARS, Extract
from retrievers.readers.html_text import read_html
from retrievers.readers.pdf_text import read_pdf
from retrievers.readers.pptx_text import read_pptx
from retrievers.readers.rows import Row, read_csv, read_json_lines, row_metadata, row_text
from retrievers.readers.xlsx_text import read_xlsx

_MAX_ROWS = 200_000  # each a document
_MAX_TITLE_CHARS = 200  # it stands before every chunk
_MEGABYTE = 1_000_000
# a character that somebody sees: neither white space, nor one that only joins, parts or turns others
_SEEN = re.compile("[^\\s\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def _read_text(raw: bytes) -> Extract:
    return Extract(decode_text(raw))


# suffix -> (reader, size up to which a file is taken); PDF and Office files are mostly pictures
_TEXT_READERS: dict[str, tuple[Callable[[bytes], Extract], int]] = {
    ".md": (_read_text, 20 * _MEGABYTE),
    ".markdown": (_read_text, 20 * _MEGABYTE),
    ".txt": (_read_text, 20 * _MEGABYTE),
    ".html": (read_html, 20 * _MEGABYTE),
    ".htm": (read_html, 20 * _MEGABYTE),
    ".pdf": (read_pdf, 100 * _MEGABYTE),
    ".docx": (read_docx, 100 * _MEGABYTE),
    ".xlsx": (read_xlsx, 100 * _MEGABYTE),
    ".pptx": (read_pptx, 100 * _MEGABYTE),
}
_ROW_READERS: dict[str, tuple[Callable[[bytes], Iterator[tuple[int, Row]]], int]] = {
    ".csv": (read_csv, 50 * _MEGABYTE),
    ".jsonl": (read_json_lines, 50 * _MEGABYTE),
    ".ndjson": (read_json_lines, 50 * _MEGABYTE),
}
_SUFFIXES = (*_TEXT_READERS, *_ROW_READERS)
_NOT_READ = "is of a kind that is not read; "
_OCR = "is a picture; run text recognition (OCR) on it, which gives a PDF with text"
_REMEDIES = {
    **dict.fromkeys([".doc", ".docm", ".dot", ".rtf", ".odt", ".wps", ".pages"], f"{_NOT_READ}save it as .docx"),
    **dict.fromkeys([".xls", ".xlsm", ".xlsb", ".ods", ".et", ".numbers"], f"{_NOT_READ}save it as .xlsx"),
    **dict.fromkeys([".ppt", ".pptm", ".odp", ".dps", ".key"], f"{_NOT_READ}save it as .pptx"),
    **dict.fromkeys(
        [".epub", ".mobi", ".eml", ".msg", ".mht", ".mhtml", ".chm"], f"{_NOT_READ}save it as .html or .pdf"
    ),
    ".json": f"{_NOT_READ}write each object on a line of its own, in a .jsonl file",
    ".tsv": f"{_NOT_READ}name it .csv, where tabs are read as well",
    ".xhtml": f"{_NOT_READ}name it .html",
    **dict.fromkeys([".rst", ".log", ".tex", ".text"], f"{_NOT_READ}if it is plain text, name it .txt"),
    **dict.fromkeys([".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic"], _OCR),
    **dict.fromkeys([".mp3", ".mp4", ".m4a", ".wav", ".mov"], "holds sound; write down what is said"),
    **dict.fromkeys([".zip", ".7z", ".rar", ".gz", ".tar"], "is an archive; unpack it"),
    "": "has no suffix; if it is plain text, name it .txt or .md",
}
_SYSTEM_FILES = frozenset(["thumbs.db", "desktop.ini"])


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read and the name under which it is cited."""

    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class PassedOverFile:
    """A file or folder that is not read, by its path below the folder given, and the reason with a remedy."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files under some paths: those to read and those that are passed over."""

    files: list[SourceFile]
    passed_over: list[PassedOverFile]


def read_documents(paths: Iterable[Path]) -> Iterator[Document]:
    """Yield the documents of Markdown, text, HTML, PDF, Office, CSV and JSONL files; folders are searched through.

    A file is one document; of CSV and JSONL each row is one. Each has the metadata `source` (path below the folder
    given, or the file's name) and `title` (first heading, else what the file calls itself, else its name), those
    of rows also `row` (counted from 1) and their columns, those of PDFs and PPTX `page_starts` (where each page or
    slide begins). Files come as in `list_files`; `find_files` also names those that are passed over.

    Raises:
        NoTextError: for a file without any text; `parse_file` reads them one by one.
        DocumentError: for a file that cannot be read; it names the file and says what to do.
    """
    for file in list_files(paths):
        yield from parse_file(read_bytes(file.path), file.path, source=file.source)


def read_document(path: Path, *, source: str) -> Document:
    """Return a file that is one document; see `read_documents`.

    Raises:
        DocumentError: if it cannot be read, or is a table of rows.
    """
    if path.suffix.lower() in _ROW_READERS:
        msg = f"{path} holds rows, which are one document each; read it with read_documents"
        raise DocumentError(msg)
    return parse_file(read_bytes(path), path, source=source)[0]


def list_files(paths: Iterable[Path]) -> list[SourceFile]:
    """Return the files that are read under these paths; see `find_files`."""
    return find_files(paths).files


def find_files(paths: Iterable[Path]) -> FoundFiles:
    """Return the files under these paths, in the order of the paths and alphabetically within a folder.

    In a folder, files of other kinds and hidden ones are passed over, and links are followed only to files in the
    same folder; each of them is named with its reason. A hidden folder is named once for all that is in it. A path
    given twice counts once.

    Raises:
        DocumentError: for a path that does not exist or is of another kind, a folder that cannot be read, and two
            files of the same name below two folders: a citation could mean either.
    """
    files: dict[str, SourceFile] = {}
    passed_over: dict[str, PassedOverFile] = {}
    for path in paths:
        found = _files_in(path) if path.is_dir() else FoundFiles([_given_file(path)], [])
        passed_over |= {file.source: file for file in found.passed_over}
        for file in found.files:
            other = files.setdefault(file.source, file)
            if other.path.resolve() != file.path.resolve():
                msg = f"{other.path} and {file.path} would both be called {file.source}; give a folder that holds both"
                raise DocumentError(msg)
    # hidden ones are read where they are given by name
    return FoundFiles(list(files.values()), [file for name, file in passed_over.items() if name not in files])


def read_bytes(path: Path) -> bytes:
    """Return what is in the file.

    Raises:
        DocumentError: if it cannot be read, is larger than files of its kind may be, or is of an unknown kind.
    """
    max_bytes = (_TEXT_READERS.get(path.suffix.lower()) or _ROW_READERS[_known_suffix(path)])[1]
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the file and its permissions"
        raise DocumentError(msg) from error
    if len(raw) > max_bytes:
        msg = f"{path} has more than {max_bytes:,} bytes, which is all that is read of its kind; split it"
        raise DocumentError(msg)
    return raw


def is_plain_text(path: Path) -> bool:
    """Return whether a file's bytes are its text or rows, by its name: Markdown, text, CSV and JSONL.

    Example:
        >>> [is_plain_text(Path(name)) for name in ("a.md", "a.CSV", "a.html")]
        [True, True, False]
    """
    suffix = path.suffix.lower()
    return suffix in _ROW_READERS or _TEXT_READERS.get(suffix, (None, 0))[0] is _read_text


def parse_file(raw: bytes, path: Path, *, source: str) -> list[Document]:
    r"""Return the documents that the bytes of a file hold, at least one; its suffix says in which format.

    Raises:
        NoTextError: if it holds no text; it names the file and says what to do.
        DocumentError: if they are not in that format; it names the file and says what to do.

    Example:
        >>> parse_file("# 退货\n\n七天内。".encode(), Path("a.md"), source="help/a.md")[0].metadata
        {'source': 'help/a.md', 'title': '退货'}
    """
    suffix = _known_suffix(path)
    try:
        check_text(source)
        if suffix in _ROW_READERS:
            return _row_documents(_ROW_READERS[suffix][0](raw), path, source)
        return [_text_document(_TEXT_READERS[suffix][0](raw), path, source)]
    except NoTextError as error:
        msg = f"{_shown(path)} {error}"
        raise NoTextError(msg) from error
    except (DocumentError, InputTextError) as error:
        msg = f"{_shown(path)} {error}"
        raise DocumentError(msg) from error


def _text_document(extract: Extract, path: Path, source: str) -> Document:
    if not _SEEN.search(extract.text):
        raise NoTextError(extract.why_empty or "is empty; delete it, or put text into it")
    check_text(extract.text, max_chars=MAX_DOCUMENT_CHARS)
    title = first_heading(extract.text) or extract.title or path.stem
    metadata: dict[str, object] = {"source": source, "title": title[:_MAX_TITLE_CHARS]}
    if extract.page_starts:
        metadata["page_starts"] = list(extract.page_starts)
    return Document(page_content=extract.text, metadata=metadata)


def _row_documents(rows: Iterator[tuple[int, Row]], path: Path, source: str) -> list[Document]:
    found = [_row_document(row, number, path, source) for number, row in itertools.islice(rows, _MAX_ROWS)]
    if not found:
        msg = "has no rows; delete it, or put text into it"
        raise NoTextError(msg)
    if not any(_SEEN.search(document.page_content) for document in found):
        msg = "has no text in any row; fill in the column that holds it, or delete the file"
        raise NoTextError(msg)
    if next(rows, None) is not None:
        msg = f"has more than {_MAX_ROWS:,} rows, which is all that is read of a file; split it"
        raise DocumentError(msg)
    return found


def _row_document(row: Row, number: int, path: Path, source: str) -> Document:
    try:
        text, columns = row_text(row), row_metadata(row)
    except DocumentError as error:
        msg = f"row {number}: {error}"
        raise DocumentError(msg) from error
    title = str(columns.get("title") or path.stem)[:_MAX_TITLE_CHARS]
    return Document(page_content=text, metadata=columns | {"source": source, "row": number, "title": title})


def _given_file(path: Path) -> SourceFile:
    _known_suffix(path)
    if not path.is_file():
        problem = "is no regular file" if path.exists() else "cannot be read: No such file or directory"
        msg = f"{path} {problem}; check the path"
        raise DocumentError(msg)
    return SourceFile(path, path.name)


def _files_in(folder: Path) -> FoundFiles:
    root = folder.resolve()
    files: list[Path] = []
    passed_over: list[tuple[Path, str]] = []
    for directory, folders, names in os.walk(folder, onerror=_refuse_folder):
        passed_over += [
            (path, reason) for name in folders if (reason := _why_not_entered(path := Path(directory, name)))
        ]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(directory, name) for name in names):
            if reason := _why_not_read(root, path):
                passed_over.append((path, reason))
            else:
                files.append(path)
    return FoundFiles(
        [SourceFile(path, path.relative_to(folder).as_posix()) for path in sorted(files)],
        [PassedOverFile(_shown(path.relative_to(folder)), reason) for path, reason in sorted(passed_over)],
    )


def _why_not_entered(folder: Path) -> str:
    """Return why a folder is passed over, or nothing."""
    if folder.name.startswith("."):
        return "is a hidden folder; rename it if it is to be read"
    return "is a link to a folder, which is not followed; give that folder as well" if folder.is_symlink() else ""


def _why_not_read(root: Path, path: Path) -> str:
    """Return why a file is passed over, or nothing."""
    if path.name.startswith((".", "~$")) or path.name.lower() in _SYSTEM_FILES:  # ~$ are Office's locks
        return "is hidden or a program's own; rename it if it is to be read"
    if not path.is_file():
        return "is a link that leads nowhere; delete it" if path.is_symlink() else "is no regular file; delete it"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "is a link out of the folder, which is not followed; copy the file"
    return "" if path.suffix.lower() in _SUFFIXES else _remedy(path.suffix.lower())


def _remedy(suffix: str) -> str:
    """Return what to do about a file of a kind that is not read."""
    return _REMEDIES.get(suffix, "is of a kind that is not read; convert it first")


def _refuse_folder(error: OSError) -> None:
    # passed over, its files would count as gone
    msg = f"{error.filename} cannot be read: {error.strerror}; check the folder and its permissions"
    raise DocumentError(msg) from error


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        msg = f"{_shown(path)} is none of {', '.join(_SUFFIXES)}; it {_remedy(suffix)}"
        raise DocumentError(msg)
    return suffix


def _shown(path: Path) -> str:
    """Return the path as text that can be printed, also where its bytes are no characters."""
    return str(path).encode("utf-8", "backslashreplace").decode()
