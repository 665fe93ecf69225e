"""Process of its own that parses files within limits, so that no file can hang or fill the program that reads it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from langchain_core.documents import Document

from llms.processes import LimitedProcess, OverLimitError, WorkLimits
from retrievers.errors import DocumentError, NoTextError

_MEGABYTE = 1_000_000
_SECONDS_PER_MEGABYTE = 10  # the slowest kind, a PDF full of text, takes seven
_MAX_CPU_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserLimits:
    """How much one file may take of the process that parses it.

    Args:
        cpu_s: seconds of computing for a file of up to a megabyte; ten more for each further one, two minutes at most.
        wall_s: seconds of the clock, for a file at which nothing is computed; a busy machine makes all slower.
        memory_bytes: beyond what the process has when it starts.
        reply_bytes: of the documents that are handed back.
    """

    cpu_s: int = 15
    wall_s: float = 600.0
    memory_bytes: int = 512 * _MEGABYTE
    reply_bytes: int = 100 * _MEGABYTE

    def cpu_s_of(self, size_bytes: int) -> int:
        """Return the seconds of computing for a file of this size."""
        more = math.ceil(max(size_bytes / _MEGABYTE - 1, 0) * _SECONDS_PER_MEGABYTE)
        return max(self.cpu_s, min(self.cpu_s + more, _MAX_CPU_S))


class ParserProcess:
    """Parses files as `parse_file` does, one after the other in one process, which is started by the first file.

    A file over a limit, or one that ends the process, is refused like any file that cannot be read, and the next one
    has a new process. The process ends when this is closed, and with the program that started it, however that ends.
    Not for several threads at once.

    Args:
        limits: of each file.
        parser: the function that parses, as `module:name`; it has the arguments of `parse_file`.

    Example:
        >>> with ParserProcess() as parser:
        ...     parser.parse(b"<h1>Returns</h1>", Path("a.html"), source="a.html")[0].page_content
        '# Returns'
    """

    def __init__(self, *, limits: ParserLimits | None = None, parser: str = "retrievers.documents:parse_file") -> None:
        self._limits = limits or ParserLimits()
        work = WorkLimits(
            wall_s=self._limits.wall_s,
            memory_bytes=self._limits.memory_bytes,
            reply_bytes=self._limits.reply_bytes,
        )
        self._process = LimitedProcess("retrievers.parser_worker:prepare", [parser], limits=work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def parse(self, raw: bytes, path: Path, *, source: str) -> list[Document]:
        """Return the documents that the bytes of a file hold; see `parse_file`.

        Raises:
            NoTextError: if it holds no text.
            DocumentError: if it cannot be read, or takes more than the limits; it names the file and the limit.
        """
        request = {"path": str(path), "source": source}
        try:
            answer = self._process.ask(request, raw, cpu_s=self._limits.cpu_s_of(len(raw)))
        except OverLimitError as error:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            msg = f"{shown} {error}; split it, or save it anew"
            raise DocumentError(msg) from error
        if "no_text" in answer:
            raise NoTextError(answer["no_text"])
        if "error" in answer:
            raise DocumentError(answer["error"])
        return [Document(page_content=text, metadata=metadata) for text, metadata in answer["documents"]]

    def close(self) -> None:
        """End the process if one was started; another file would start another one."""
        self._process.close()
