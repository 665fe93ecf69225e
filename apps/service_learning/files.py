"""Log files as lines and records, read as a stream: encodings, broken bytes, JSONL, arrays of any length."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from apps.errors import WorkspaceError
from llms.texts import JsonRecord, likely_encoding, parse_record

SAMPLE_BYTES = 1_000_000
_CHUNK = 1_000_000
_LONGEST_RECORD = 64_000_000
_LONGEST_LINE = 32_000_000
_WRAPPED = re.compile(r'\s*\{[^\[{]{0,400}"(?:tickets|conversations|data|dialogues|dialogs|chats|results)"\s*:\s*\[')
_SPACE = re.compile(r"[\s,]*")


def read_sample(path: Path) -> bytes:
    """Return the beginning of a file, up to the end of a line where it goes on.

    Raises:
        WorkspaceError: if it cannot be read or is empty.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SAMPLE_BYTES)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}; give the file of a log"
        raise WorkspaceError(msg) from error
    if not raw.strip():
        msg = f"{path} is empty; give the file of a log"
        raise WorkspaceError(msg)
    return raw if len(raw) < SAMPLE_BYTES else raw[: raw.rfind(b"\n") + 1 or len(raw)]


def guess_encoding(path: Path) -> str:
    """Return the encoding in which a file's beginning makes sense.

    Raises:
        WorkspaceError: if it is in none that is known, as a spreadsheet or an archive.
    """
    raw = read_sample(path)
    encoding = likely_encoding(raw)
    if encoding is None or raw[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF"):
        msg = f"{path} is no text; export the log as CSV, JSON or text"
        raise WorkspaceError(msg)
    return encoding


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open a log for reading; bytes that are not in the encoding stay recognisable (`has_raw_bytes`)."""
    errors = "surrogateescape" if codecs.lookup(encoding).name.startswith(("utf-8", "utf_8", "gb", "cp")) else "replace"
    return path.open(encoding=encoding, errors=errors, newline="")


def numbered_lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers from 1 and without line ends; of an endless one only its beginning."""
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        yield number, line.rstrip("\r\n").lstrip("\ufeff")
        while line and len(line) == _LONGEST_LINE and not line.endswith("\n"):
            line = file.readline(_LONGEST_LINE)


def stream_records(path: Path, encoding: str) -> Iterator[JsonRecord]:
    """Yield the records of a JSON file one by one: a record in each line, an array, or an array within an object."""
    with open_text(path, encoding) as file:
        start = file.read(2_000).lstrip("\ufeff \t\r\n")
        file.seek(0)
        first = next(numbered_lines(file), (0, ""))[1]
        file.seek(0)
        is_line = not parse_record(first, 1).problem and not first.lstrip().startswith("[")
        wrapper = None if is_line else _WRAPPED.match(start)
        if wrapper or start.startswith("["):
            yield from _array_records(file, wrapper.end() if wrapper else 1)
        elif is_line or not start.startswith("{"):
            yield from (parse_record(line, number) for number, line in numbered_lines(file) if line.strip())
        else:
            yield from _array_records(file, 0)  # objects that go over several lines


def _array_records(file: IO[str], start: int) -> Iterator[JsonRecord]:
    """Yield values that commas or white space divide, from a place behind the first sign on."""
    decoder = json.JSONDecoder()
    buffer = file.read(_CHUNK).lstrip("\ufeff")
    place = len(buffer) - len(buffer.lstrip()) + start
    line = 1 + buffer.count("\n", 0, place)
    while True:
        space = _SPACE.match(buffer, place)
        end = space.end() if space else place
        line += buffer.count("\n", place, end)
        place = end
        if place == len(buffer):
            buffer, place = file.read(_CHUNK), 0
            if not buffer:
                return
            continue
        if buffer[place] == "]":
            return
        value, end, problem = _decode(decoder, buffer, place)
        if problem:
            more = file.read(max(_CHUNK, len(buffer))) if len(buffer) - place < _LONGEST_RECORD else ""
            if not more:
                yield JsonRecord(line, None, f"not valid JSON: {problem}; nothing behind it is read")
                return
            buffer, place = buffer[place:] + more, 0
            continue
        yield JsonRecord(line, value)
        line += buffer.count("\n", place, end)
        place = end


def _decode(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int, str]:
    try:
        value, end = decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        return None, place, error.msg
    except RecursionError:
        return None, place, "brackets are nested too deeply"
    return value, end, ""
