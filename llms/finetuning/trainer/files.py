"""Durable files and the processes that write them: synced to disk, one error for a failed write."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llms.errors import TrainingSaveError, TuneChainError
from llms.files import sync_file

# how torch (C++) and tokenizers (Rust) tell that the operating system refused a write: no OSError, just a text
_SIGNS_OF_A_FAILED_WRITE = ("os error", "PytorchStreamWriter", "unexpected pos", "iostream", "cannot be opened")


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise when a file cannot be written into one error.

    Raises:
        TrainingSaveError: with `what` and the reason.

    Example:
        >>> with writing("the model in m"):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        llms.errors.TrainingSaveError: the model in m could not be written: [Errno 28] No space left on device; \
earlier checkpoints stay, make room and repeat the call
    """
    try:
        yield
    except TuneChainError:
        raise
    except Exception as error:
        if not _is_failed_write(error):
            raise
        msg = f"{what} could not be written: {error}; earlier checkpoints stay, make room and repeat the call"
        raise TrainingSaveError(msg) from error


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: after a kill there is the old one or the new one, and no half of either."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    sync_file(new)
    new.replace(path)


def _is_failed_write(error: Exception) -> bool:
    from safetensors import SafetensorError

    if isinstance(error, OSError | SafetensorError):
        return True
    return any(sign in str(error) for sign in _SIGNS_OF_A_FAILED_WRITE)


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
