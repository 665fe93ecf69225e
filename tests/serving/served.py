"""`tunechain serve` in a process of its own, and what the system tells of it and of its model's process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Served", "add_chat", "build_shop", "children", "num_descriptors", "resident_mib", "serve"]

_ROOT = Path(__file__).parents[2]
_START_S = 600.0  # a large model is exported the first time
_MODEL = "process_backend.worker"

# random weights tell texts too little apart to find any relevant, and then no chat model is asked: words do
_ANY_PASSAGE = "[customer_service]\nmin_relevance = 0.0\nword_weight = 4.0\n"
# of [server]: no key asks too often, since what is measured is something else
_GENEROUS = "requests_per_minute = 1e9\nburst = 1000000000\n"


class Served:
    """A workspace that is served.

    Args:
        folder: of the workspace; the server's log is written beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.log = folder.with_name(f"{folder.name}.log")
        command = [sys.executable, "-m", "apps.cli", "serve", "--workspace", str(folder), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def wait_until_ready(self) -> float:
        """Return the seconds until questions can be asked.

        Raises:
            RuntimeError: if the server ends, or takes too long.
        """
        started = time.monotonic()
        while time.monotonic() - started < _START_S:
            if self._says_ready():
                return time.monotonic() - started
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        msg = f"the server is not ready; the end of its log: {self.log.read_text('utf-8', 'replace')[-2000:]}"
        raise RuntimeError(msg)

    def _says_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):  # loopback
                return True
        except OSError:
            return False

    def model_pid(self) -> int | None:
        """Return the process of the chat model, if it runs."""
        return next((pid for pid in children(self.pid) if _MODEL in _command(pid)), None)

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to the server."""
        self._process.send_signal(sent)

    def wait(self, timeout_s: float) -> float | None:
        """Return the seconds until the server has ended; None if it does not in time."""
        started = time.monotonic()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - started

    def end(self) -> None:
        """End the server, by force where it must be."""
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
            if self.wait(40) is None:
                self._process.kill()
                self._process.wait()


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Serve a workspace until the block ends; it is ready when the block begins."""
    served = Served(folder)
    try:
        served.wait_until_ready()
        yield served
    finally:
        served.end()


def resident_mib(pid: int | None) -> float:
    """Return the resident memory of a process; 0 if there is none."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def num_descriptors(pid: int | None) -> int:
    """Return how many files, sockets and pipes a process has open."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def build_shop(
    folder: Path, chat: Path, encoder: Path, *, mark: str = "", deadline_s: float | None = None, cache_mb: int = 1024
) -> Path:
    """Return a trained workspace of a few rows in a new folder.

    Args:
        folder: of the workspace.
        chat: the folder of its chat model.
        encoder: the folder of its sentence encoder.
        mark: a word that stands in its articles, approved answers and items.
        deadline_s: of a request, unless it is the usual one.
        cache_mb: of what the chat model keeps of prompts, at most.
    """
    from apps.answer_router import ROUTER_NAME
    from apps.quickstart import run_quickstart
    from tests.apps.workspaces import write_workspace

    add_chat(write_workspace(folder, encoder), chat, deadline_s=deadline_s, cache_mb=cache_mb)
    if mark:
        _replace(folder / "customer_service/knowledge/battery.md", "Keep the battery", f"Keep the {mark} battery")
        _replace(folder / "customer_service/templates.yaml", "Refunds take", f"{mark}: refunds take")
        _replace(folder / "recommendation/items.csv", "red card", f"red {mark} card")
    run_quickstart(folder, show_results=False)
    # a router that was fitted on random weights hands all over, and what shall be asked is the chat model
    (folder / "models" / ROUTER_NAME).unlink(missing_ok=True)
    return folder


def add_chat(folder: Path, chat: Path, *, deadline_s: float | None = None, cache_mb: int = 1024) -> Path:
    """Return the workspace after giving it a chat model and limits of requests that nobody reaches."""
    file = folder / "tunechain.toml"
    deadline = "" if deadline_s is None else f"deadline_s = {deadline_s}\n"
    _replace(file, "[models]\n", f"[models]\nchat = '{chat}'\nchat_cache_mb = {cache_mb}\n")
    _replace(file, "[finetuning]\n", f"{_ANY_PASSAGE}[server]\n{_GENEROUS}{deadline}[finetuning]\n")
    return folder


def _replace(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text("utf-8").replace(old, new), encoding="utf-8")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in thread.read_text("ascii").split()]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
