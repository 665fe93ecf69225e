"""Options of the command line that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="Workspace; default: TUNECHAIN_WORKSPACE, or the nearest upwards from here."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per result on standard output, nothing else.")]
AddEncoder = Annotated[
    bool | None,
    typer.Option(
        "--add-encoder/--no-add-encoder",
        help="Fetch an encoder that reads the language, if the one installed here does not; default: ask at a "
        "terminal, else do without.",
        show_default=False,
    ),
]
