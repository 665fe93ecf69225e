"""Processes that train one model together, as `accelerate launch` starts them: all learn, and one of them writes."""

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["count_processes", "is_main_process", "main_process_first", "wait_for_all"]


def count_processes() -> int:
    """Return how many processes train together; 1 without a launcher.

    Example:
        >>> count_processes()
        1
    """
    return int(_state().num_processes)


def is_main_process() -> bool:
    """Return whether this process writes; true where there is only one."""
    return bool(_state().is_main_process)


def wait_for_all() -> None:
    """Return when every process has come here."""
    _state().wait_for_everyone()


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Run a block in the main process and only then in the others, which find it done."""
    with _state().main_process_first():
        yield


def _state() -> Any:
    import torch
    from accelerate import PartialState  # type: ignore[import-untyped]
    from accelerate.utils import parse_flag_from_env  # type: ignore[import-untyped]

    # shared by all of its kind; the first one joins the others, which on a CPU it only does when told that it is one
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available())
