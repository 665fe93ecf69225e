"""A parser that misbehaves by the bytes it gets, for the tests of the process it runs in."""

import os
import signal
import sys
import time
from pathlib import Path

from langchain_core.documents import Document

_kept = []


def misbehave(raw, path, *, source):
    """Do what the bytes say, and return them as a document."""
    what, _, detail = raw.decode().partition(" ")
    text = _ACTIONS[what](detail) if what in _ACTIONS else None
    return [Document(text or raw.decode(), metadata={"source": source})]


def _compute(_detail):
    while True:
        pass


def _note(path):
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


def _print(_detail):
    sys.stdout.write("printed\n")
    os.write(1, b"written\n")


def _fail(_detail):
    raise KeyError


_ACTIONS = {
    "compute": _compute,
    "sleep": lambda _: time.sleep(600),
    "keep": lambda size: _kept.append(b"x" * int(size)),
    "die": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda _: sys.exit(7),
    "raise": _fail,
    "print": _print,
    "long": lambda size: "x" * int(size),
    "pid": lambda _: str(os.getpid()),
    "note": _note,
}
