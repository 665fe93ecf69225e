"""Where a model exported to OpenVINO lies, how it gets there whole, and what is written down about it."""

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llms.errors import EngineError
from llms.loading import EXPORT_FOLDER, folder_fingerprint

MANIFEST = "manifest.json"


def export_place(folder: Path) -> Path:
    """Return where the exports of a model lie: beside it, or under `~/.cache/tunechain` if it cannot be written."""
    place = folder / EXPORT_FOLDER
    if os.access(place if place.exists() else folder, os.W_OK):
        return place
    return Path.home() / ".cache" / "tunechain" / EXPORT_FOLDER / folder_fingerprint(folder)


def read_manifest(export: Path) -> dict[str, Any]:
    """Return what is written down about an export, or nothing if it is not complete."""
    try:
        content = json.loads((export / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def put_in_place(work: Path, target: Path, *, is_current: Callable[[Path], bool]) -> None:
    """Rename `work` to `target`; an export that another process put there meanwhile stays if it is right.

    Raises:
        EngineError: if something else keeps taking the place.
    """
    for _ in range(10):
        if is_current(target):
            return
        if target.exists():
            outdated = Path(tempfile.mkdtemp(prefix=".outdated-", dir=target.parent))
            with contextlib.suppress(OSError):  # another process took it away first
                target.rename(outdated / "export")
            shutil.rmtree(outdated, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process put its own there first
            work.rename(target)
    if not is_current(target):
        msg = f"the export could not be moved to {target}; is another process writing there?"
        raise EngineError(msg)


def require_packages(names: Sequence[str]) -> None:
    """Refuse with the install line if one of the packages is missing.

    Raises:
        EngineError: naming what to install.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            msg = f'the OpenVINO engine needs the package {name}; run: pip install "tunechain[openvino]"'
            raise EngineError(msg)


def decline_telemetry() -> None:
    """Answer "no" for the libraries that would report each conversion over the network unless told otherwise."""
    from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker

    OptInChecker.check = lambda *_, **__: ConsentCheckResult.DECLINED
