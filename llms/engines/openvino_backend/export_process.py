"""A process of its own that makes an export, so that all the memory this takes comes back."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from llms.engines.openvino_backend.making import make_export
from llms.engines.openvino_backend.refusal import refusal
from llms.errors import EngineError
from llms.openvino_export import ExportPrecision, decline_telemetry
from llms.processes.pipes import worker_command

_REFUSED_EXIT = 3
_LAST_CHARS = 2000  # of what the process writes before it breaks


def make_apart(folder: Path, work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]) -> None:
    """Write an export into an empty folder as `make_export` does, in a process that ends with this one.

    Raises:
        EngineError: if this model cannot run there, or the process was ended.
    """
    command = worker_command(__name__, str(folder), str(work), precision, json.dumps(dict(identity)))
    with tempfile.TemporaryFile() as log:
        # the pipe says that somebody still waits
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process:  # noqa: S603 (this library)
            status = process.wait()
        if status == 0:
            return
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_CHARS))
        said = log.read().decode("utf-8", "replace").strip()
    if status == _REFUSED_EXIT:
        raise EngineError(said.splitlines()[-1])
    if status < 0:
        msg = f"the process that exported it was ended by signal {-status}, perhaps for lack of memory"
        raise EngineError(refusal(msg))
    raise EngineError(refusal(f"the export broke off ({said.splitlines()[-1] if said else f'exit status {status}'})"))


def main() -> None:
    """Make the export that the arguments name; the exit status and the last line written say how it went."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder, work, precision, identity = sys.argv[2:]
    decline_telemetry()
    try:
        make_export(Path(folder), Path(work), precision=precision, identity=json.loads(identity))  # type: ignore[arg-type]
    except EngineError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.stderr.flush()
        os._exit(_REFUSED_EXIT)
    os._exit(0)  # the libraries' own threads would be waited for


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # comes back when the other end is closed
    os._exit(1)
