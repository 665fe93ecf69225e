"""Chunking of documents: pieces that a sentence encoder can read whole, each with its offsets in the file."""

import bisect
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.documents import Document

from llms.texts import TextSpan, split_sentences
from retrievers.blocks import Block, Kind, find_blocks, table_header_end
from retrievers.boundaries import cut_span
from retrievers.errors import DocumentError
from retrievers.sections import Chunk, Section, find_parents, find_sections

_MAX_CHUNKS = 50_000  # of a document: as many take an hour to embed


def split_documents(
    documents: Iterable[Document], *, chunk_chars: int = 800, parent_chars: int = 4000
) -> list[Document]:
    r"""Return the documents cut into chunks of at most `chunk_chars`, none of which reaches over two sections.

    Whole stay, if they fit into a chunk: tables, code blocks, list items, and every sentence. Short neighbours share
    a chunk, and a heading stands in one with what follows it.

    A chunk's text is the document's title, a blank line and the chunk's body, so that a search sees what the
    body is about. Where the body begins with a later row of a table, the table's header stands before it, too; both
    together have at most `chunk_chars` unless the header alone takes half of them. The metadata has, beside the
    document's own:

    - `start` and `end`: where the body stands in the document, in characters; the bodies one after the other are
      the document but for white space between them.
    - `body_start`: where the body begins in the chunk's text.
    - `section`: the headings above it, as in `Returns > Refunds`; missing where there are none.
    - `parent_start` and `parent_end`: the part of the document to show with it: the widest section around it of at
      most `parent_chars`, else as many neighbouring chunks of its own section as fit. Parents do not overlap:
      chunks with the same source, row and `parent_start` are all that a parent holds.
    - `page`: where `page_starts` of the document says so, the page on which the body begins, counted from 1.

    Its id depends on source, row, offset and text: the same document always gives the same ids.

    Args:
        documents: each is cut for itself.
        chunk_chars: at most this long is a body.
        parent_chars: at most this long is a parent; a larger `chunk_chars` outweighs it.

    Raises:
        ValueError: if one of the limits is below 1.
        DocumentError: for a document that falls into more than 50,000 chunks: hardly more than headings is in it.

    Example:
        >>> page = Document("# Cables\n\nUse a short cable.", metadata={"source": "a.md", "title": "Cables"})
        >>> chunk = split_documents([page])[0]
        >>> chunk.page_content[chunk.metadata["body_start"] :]
        '# Cables\n\nUse a short cable.'
        >>> chunk.metadata["section"], chunk.metadata["parent_end"]
        ('Cables', 28)
    """
    if chunk_chars < 1 or parent_chars < 1:
        msg = f"chunk_chars and parent_chars must be at least 1, got {chunk_chars} and {parent_chars}"
        raise ValueError(msg)
    return [chunk for document in documents for chunk in _split(document, chunk_chars, max(parent_chars, chunk_chars))]


def _split(document: Document, chunk_chars: int, parent_chars: int) -> Iterator[Document]:
    text = document.page_content
    blocks = list(find_blocks(text))
    headers = _TableHeaders(text, blocks, max_chars=chunk_chars)
    sections = find_sections(blocks)
    found = (
        Chunk(start, end, number)
        for number, own in _joined_headings(sections)
        for start, end in _pack(_pieces(text, own, chunk_chars), chunk_chars, headers)
    )
    chunks = list(itertools.islice(found, _MAX_CHUNKS + 1))
    if len(chunks) > _MAX_CHUNKS:
        name = document.metadata.get("source", "a document")
        msg = f"{name} falls into more than {_MAX_CHUNKS:,} pieces, most of them tiny; split it, or remove headings"
        raise DocumentError(msg)
    page_starts = document.metadata.get("page_starts")
    for chunk, (parent_start, parent_end) in zip(chunks, find_parents(sections, chunks, parent_chars), strict=True):
        added: dict[str, Any] = {"parent_start": parent_start, "parent_end": parent_end}
        if section := sections[chunk.section].path:
            added["section"] = section
        if page_starts:
            added["page"] = bisect.bisect_right(page_starts, chunk.start)
        yield _as_document(document, chunk, headers.above(chunk.start), added)


class _TableHeaders:
    """The headers of a text's tables, to be repeated where a chunk begins with a later row."""

    def __init__(self, text: str, blocks: Iterable[Block], *, max_chars: int) -> None:
        self._text = text
        self._max_chars = max_chars
        self._tables = [block for block in blocks if block.kind is Kind.TABLE]
        self._starts = [table.start for table in self._tables]
        self._ends = [table_header_end(text, table) for table in self._tables]

    def above(self, place: int) -> str:
        """Return the header of the table whose later row begins at a place, else nothing."""
        index = bisect.bisect_right(self._starts, place) - 1
        if index < 0:
            return ""
        table, end = self._tables[index], self._ends[index]
        # one that is longer than a chunk would be most of what a search sees of its rows
        is_below = end < place < table.end and end - table.start <= self._max_chars
        return self._text[table.start : end] if is_below else ""


def _joined_headings(sections: Iterable[Section]) -> Iterator[tuple[int, list[Block]]]:
    """Yield (number of the section, its blocks); one that is only a heading goes before its first sub-section.

    Several of one level that are only headings stand together, or a file of nothing else would be a chunk for each.
    """
    waiting: list[Block] = []
    sections = list(sections)
    for number, section in enumerate(sections):
        waiting += section.blocks
        if _is_bare(section) and number + 1 < len(sections):
            following = sections[number + 1]
            if following.level > section.level or (following.level == section.level and _is_bare(following)):
                continue
        if waiting:
            yield number, waiting
        waiting = []


def _is_bare(section: Section) -> bool:
    return len(section.blocks) == 1 and section.level > 0


def _pieces(text: str, blocks: Iterable[Block], max_chars: int) -> Iterator[TextSpan]:
    """Yield the blocks, cut where they must be: an endless one, and a paragraph that does not fit below its heading."""
    heading_start: int | None = None
    for block in blocks:
        span = (block.start, block.end)
        if block.kind is Kind.HEADING:
            heading_start = block.start if heading_start is None else heading_start
            yield from cut_span(text, span, block.kind, max_chars=max_chars)
            continue
        is_prose = block.kind in (Kind.PARAGRAPH, Kind.ITEM)
        if is_prose and heading_start is not None and block.end - heading_start > max_chars:
            for sentence in split_sentences(text, span):
                yield from cut_span(text, sentence, Kind.PARAGRAPH, max_chars=max_chars)
        else:
            yield from cut_span(text, span, block.kind, max_chars=max_chars)
        heading_start = None


def _pack(pieces: Iterable[TextSpan], max_chars: int, headers: _TableHeaders) -> Iterator[TextSpan]:
    """Join neighbours while they fit together."""
    start, end, room = None, 0, max_chars
    for piece_start, piece_end in pieces:
        if start is not None and piece_end - start > room:
            yield start, end
            start = None
        if start is None:
            start, room = piece_start, max(max_chars - len(headers.above(piece_start)) - 1, max_chars // 2)
        end = piece_end
    if start is not None:
        yield start, end


def _as_document(document: Document, chunk: Chunk, table_header: str, added: dict[str, Any]) -> Document:
    body = document.page_content[chunk.start : chunk.end]
    prefix = f"{document.metadata['title']}\n\n" if document.metadata.get("title") else ""
    prefix += f"{table_header}\n" if table_header else ""
    metadata = {name: value for name, value in document.metadata.items() if name != "page_starts"}
    metadata |= {"start": chunk.start, "end": chunk.end, "body_start": len(prefix)} | added
    row = f"{metadata['row']}\x1f" if "row" in metadata else ""  # rows of one file may have the same text
    key = f"{metadata.get('source', '')}\x1f{row}{chunk.start}\x1f{body}"
    return Document(id=hashlib.sha256(key.encode()).hexdigest()[:32], page_content=prefix + body, metadata=metadata)
