"""Files to documents, one per file."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from llms.errors import InputTextError
from llms.texts import check_text
from retrievers.errors import DocumentError

__all__ = ["read_document", "read_documents"]

_SUFFIXES = (".md", ".markdown", ".txt")
_MAX_DOCUMENT_CHARS = 5_000_000


def read_documents(paths: Iterable[Path]) -> Iterator[Document]:
    """Yield one document per Markdown or text file; folders are searched through, in alphabetical order.

    Each has the metadata `source` (path below the folder given, or the file's name) and `title` (first
    heading, or the file's name).

    Raises:
        DocumentError: for a path that does not exist, a file of another kind, or one that is no UTF-8 text.
    """
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in _SUFFIXES)
            for file in files:
                yield read_document(file, source=file.relative_to(path).as_posix())
        else:
            yield read_document(path, source=path.name)


def read_document(path: Path, *, source: str) -> Document:
    """Return the file as one document; see `read_documents`."""
    if path.suffix.lower() not in _SUFFIXES:
        msg = f"{path} is none of {', '.join(_SUFFIXES)}; convert it first"
        raise DocumentError(msg)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        check_text(text, max_chars=_MAX_DOCUMENT_CHARS)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DocumentError(msg) from error
    except (UnicodeDecodeError, InputTextError) as error:
        msg = f"{path} is no usable UTF-8 text: {error}; save it as UTF-8"
        raise DocumentError(msg) from error
    text = text.replace("\r\n", "\n")
    heading = re.search(r"^#[ \t]+(\S.*)$", text, flags=re.MULTILINE)
    title = heading.group(1).strip() if heading else path.stem
    return Document(page_content=text, metadata={"source": source, "title": title})
