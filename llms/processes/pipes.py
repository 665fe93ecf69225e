"""Processes of this library that work for another one: how they start, and messages through pipes.

A message is its length in eight bytes, and its content. Nothing that comes in is ever unpickled.
"""

import json
import os
import selectors
import sys
from collections.abc import Callable
from typing import IO

_LENGTH_BYTES = 8
_PIECE_BYTES = 1_000_000
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main()"


def worker_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `main` of a module, which finds the arguments from `sys.argv[2]` on.

    It imports what this process imports, and nothing that merely lies in the folder one happens to be in.
    """
    return [sys.executable, "-P", "-c", _START.format(module), json.dumps(sys.path), *arguments]


def opened(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return the pipe of a process that was started with one, which the types of `subprocess` leave open."""
    assert pipe is not None  # noqa: S101
    return pipe


def send(pipe: int, content: bytes) -> None:
    """Write a message into a pipe.

    Raises:
        BrokenPipeError: if nobody reads it.
    """
    for part in (len(content).to_bytes(_LENGTH_BYTES), content):
        view = memoryview(part)
        while view:
            view = view[os.write(pipe, view[:_PIECE_BYTES]) :]


def receive(read_some: Callable[[int], bytes], *, max_bytes: int) -> bytes | None:
    """Return a message, or None for one that is too long.

    Args:
        read_some: returns at most as many bytes as it is asked for; none at the end.
        max_bytes: how long it may be.

    Raises:
        EOFError: if it ends before the message does.
    """
    size = int.from_bytes(_read_exactly(read_some, _LENGTH_BYTES))
    return _read_exactly(read_some, size) if size <= max_bytes else None


class MessageReader:
    """Reads what has come through a pipe, without waiting longer than is said.

    Args:
        pipe: its file descriptor, which only this reader reads.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._buffer = bytearray()

    def read(self, *, timeout_s: float) -> list[bytes]:
        """Return the whole messages that have come; none if nothing comes in time.

        Raises:
            EOFError: if nothing more can come.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return []
        piece = os.read(self._pipe, _PIECE_BYTES)
        if not piece:
            raise EOFError
        self._buffer += piece
        return self._take_whole()

    def _take_whole(self) -> list[bytes]:
        messages: list[bytes] = []
        begin = 0
        while (content := begin + _LENGTH_BYTES) <= len(self._buffer):
            end = content + int.from_bytes(self._buffer[begin:content])
            if end > len(self._buffer):
                break
            messages.append(bytes(self._buffer[content:end]))
            begin = end
        del self._buffer[:begin]
        return messages


def _read_exactly(read_some: Callable[[int], bytes], size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = read_some(min(size - len(content), _PIECE_BYTES))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)
