"""Forked child processes that may be killed, or whose answer is waited for."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any


def in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns, a value of JSON, in a process of its own."""
    (answer,) = in_children([work])
    if answer is None:
        msg = "a child process died"
        raise SystemExit(msg)
    return answer["value"] if set(answer) == {"value"} else answer


def in_children(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what each of `works` returns, all at the same time; None for a process that died."""
    children = [start_child(work) for work in works]
    return [answer_of(child, reading) for child, reading in children]


def start_child(work: Callable[[], Any]) -> tuple[int, int]:
    """Return the process id of a child that does `work`, and the descriptor its answer is read from."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        answer = work()
        wrapped = answer if isinstance(answer, dict) else {"value": answer}
        with os.fdopen(writing, "wb") as out:
            out.write(json.dumps(wrapped).encode())
        status = 0
    except BaseException as error:  # told, then the parent sees that this process failed
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def answer_of(child: int, reading: int) -> Any:
    """Return the answer of a child once it has ended, or None where it died or was killed."""
    with os.fdopen(reading, "rb") as answer:
        content = answer.read()
    _, status = os.waitpid(child, 0)
    return json.loads(content) if status == 0 and content else None
