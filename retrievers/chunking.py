"""Documents to chunks that a sentence encoder can read whole, each knowing where in its file it stands."""

import hashlib
import re
from collections.abc import Iterable

from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

__all__ = ["split_documents"]

# strongest border first; an empty last entry lets a single endless word be cut at any place
_HEADINGS = [r"\n(?=# )", r"\n(?=## )", r"\n(?=### )"]  # cut before the heading, which keeps its marks
_BREAKS = ["\n\n", "\n", "。", "！", "？", ". ", "! ", "? ", "；", "; ", "，", " ", ""]


def split_documents(documents: Iterable[Document], *, chunk_chars: int = 800) -> list[Document]:
    r"""Return the documents cut at headings, paragraphs or sentences into chunks of at most `chunk_chars`.

    A chunk's text is the document's title, a blank line and the chunk's body, so that a search sees what the
    body is about. Its metadata has, beside the document's own, `start` and `end` (where the body stands in the
    document, in characters) and `body_start` (where the body begins in the chunk's text). Its id depends on
    source, place and text: the same document always gives the same ids.

    Example:
        >>> page = Document("# Cables\n\nUse a short cable.", metadata={"source": "a.md", "title": "Cables"})
        >>> chunk = split_documents([page])[0]
        >>> chunk.page_content[chunk.metadata["body_start"] :]
        '# Cables\n\nUse a short cable.'
    """
    splitter = RecursiveCharacterTextSplitter(
        separators=[*_HEADINGS, *map(re.escape, _BREAKS)],
        is_separator_regex=True,
        chunk_size=chunk_chars,
        chunk_overlap=0,
        keep_separator="end",
        add_start_index=True,
    )
    return [_as_chunk(piece) for document in documents for piece in splitter.split_documents([document])]


def _as_chunk(piece: Document) -> Document:
    start = piece.metadata["start_index"]
    body = piece.page_content
    prefix = f"{piece.metadata['title']}\n\n" if piece.metadata.get("title") else ""
    metadata = {name: value for name, value in piece.metadata.items() if name != "start_index"}
    metadata |= {"start": start, "end": start + len(body), "body_start": len(prefix)}
    key = f"{metadata.get('source', '')}\x1f{start}\x1f{body}"
    return Document(id=hashlib.sha256(key.encode()).hexdigest()[:32], page_content=prefix + body, metadata=metadata)
