"""Fetching of published models with a bar, and the offer of an encoder that reads the language of a new workspace."""

import sys
from pathlib import Path

import typer

from apps.console import errors, print_warning, show_bytes
from llms.catalogue import AddedModel, add_model, find_missing, read_catalogue, suggest_encoder
from llms.errors import ModelFetchError

_MB = 2**20


def fetch_model(reference: str, *, name: str = "", allow_hub: bool = False) -> AddedModel:
    """Add a model to those of this machine, show how far that is, and return it.

    Raises:
        TuneChainError: as `llms.catalogue.add_model`.
    """
    entry = read_catalogue().get(reference.lower())
    with show_bytes(entry.download_mb * _MB if entry else None) as progress:
        return add_model(reference, name=name, allow_hub=allow_hub, progress=progress, report=say)


def choose_encoder(language: str, folder: Path, *, add: bool | None) -> str | None:
    """Return the encoder for a new workspace in this language, or None for the one that every workspace begins with.

    One that reads the language better and is on this machine is taken; else it is offered at a terminal. Where it
    is not wanted or cannot be fetched, a note says how to take it later.

    Args:
        folder: of the workspace.
        add: fetch it without asking, or never; None asks at a terminal and else does not.
    """
    entry = suggest_encoder(language)
    if entry is None:
        return None
    if add is not False:
        is_missing = find_missing(entry.name) is not None
        if not is_missing:
            say(f"the workspace uses {entry.name}, which reads its language")
            return entry.name
        question = (
            f"{entry.name} reads this language far better than the encoder installed here. Fetch it now "
            f"({entry.download_mb} MB, {entry.disk_mb} MB on the disk, {entry.licence})?"
        )
        if add or (add is None and is_terminal() and _is_wanted(question)):
            try:
                return fetch_model(entry.name).name
            except ModelFetchError as error:
                print_warning(str(error))
    print_warning(
        f"the workspace uses the encoder installed here, which reads English; {entry.name} reads its language far "
        f"better. Take it at any time with: tunechain models use {entry.name} -w {folder}"
    )
    return None


def say(text: str) -> None:
    """Print a line about what is being done, on standard error."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def is_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty() and errors.is_terminal


def _is_wanted(question: str) -> bool:
    return typer.confirm(question, default=True, err=True)
