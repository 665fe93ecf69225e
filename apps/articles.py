"""Knowledge articles of a workspace, and the passage around a citation."""

import functools
import threading
from pathlib import Path

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict, Field

from chains.customer_service import Citation
from retrievers import ParserProcess, SourceFile, is_plain_text, list_files, parse_file, read_bytes
from retrievers.errors import DocumentError


class Passage(BaseModel):
    """A quote with what stands around it in its article."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "source": "battery.md",
                    "title": "Battery care",
                    "before": "# Battery care\n",
                    "quote": "Never freeze it.",
                }
            ]
        },
    )

    source: str
    title: str
    before: str = ""
    quote: str
    after: str = ""
    is_current: bool = Field(
        default=True,
        description="False if the article has changed and the quote is in it no more; then nothing is around.",
    )


class Articles:
    r"""The articles below a folder, each known by the name under which it is cited.

    Args:
        folder: of the articles.
        context_chars: what is shown at most before a quote, and after it.
        parser: reads the articles that hold more than their text; one is made if there is none.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "care.md").write_text("# Care\n\nKeep it dry. Never freeze it.\n")
        >>> passage = Articles(folder).passage(Citation(source="care.md", start=21, end=37, quote="Never freeze it."))
        >>> passage.title, passage.before
        ('Care', '# Care\n\nKeep it dry. ')
        >>> Articles(folder).passage(Citation(source="../care.md", start=0, end=1, quote="#")).is_current
        False
    """

    def __init__(self, folder: Path, *, context_chars: int = 1_500, parser: ParserProcess | None = None) -> None:
        self._folder = folder
        self._context_chars = context_chars
        self._parser, self._lock = parser or ParserProcess(), threading.Lock()  # it reads one file at a time
        # reading a PDF takes a second, and an answer cites several places of it
        self._read = functools.lru_cache(maxsize=8)(self._parse)

    def close(self) -> None:
        """End the process of the parser; another article would start another one."""
        with self._lock:
            self._parser.close()

    def passage(self, citation: Citation) -> Passage:
        """Return a cited quote with its surroundings; it is marked where the article does not have it any more."""
        for document in self._documents(citation.source):
            text = document.page_content
            start = citation.start if text.startswith(citation.quote, citation.start) else text.find(citation.quote)
            if citation.quote and start >= 0:
                return self._around(document, start, start + len(citation.quote), source=citation.source)
        return Passage(source=citation.source, title=citation.source, quote=citation.quote, is_current=False)

    def _documents(self, source: str) -> list[Document]:
        """Return what an article holds; its name is looked up in the list of articles and never used as a path."""
        try:
            found = [file for file in list_files([self._folder]) if file.source == source]
            return self._read(found[0], found[0].path.stat().st_mtime_ns) if found else []
        except (DocumentError, OSError):
            return []  # an article that is gone or broken has no quotes

    def _parse(self, file: SourceFile, _changed_ns: int) -> list[Document]:
        raw = read_bytes(file.path)
        if is_plain_text(file.path):
            return parse_file(raw, file.path, source=file.source)
        with self._lock:  # a file that would hang the server may have come since the last indexing
            return self._parser.parse(raw, file.path, source=file.source)

    def _around(self, document: Document, start: int, end: int, *, source: str) -> Passage:
        text, size = document.page_content, self._context_chars
        before, after = text[max(0, start - size) : start], text[end : end + size]
        if start > size:  # begin with a whole line or word
            before = "… " + before.partition("\n" if "\n" in before else " ")[2]
        if end + size < len(text):
            after = after.rpartition("\n" if "\n" in after else " ")[0] + " …"
        title = str(document.metadata.get("title", source))
        return Passage(source=source, title=title, before=before, quote=text[start:end], after=after)
