"""A Redis server on a socket of this machine, which can be killed and started again."""

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis

from tests.waiting import wait_until


class RedisServer:
    """Debian's `redis-server`, with its data in a folder; a kill loses nothing that it has acknowledged."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.socket = self.folder / "redis.sock"
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self._process = None

    @property
    def url(self):
        return f"unix://{self.socket}"

    def start(self):
        options = ["--port", "0", "--unixsocket", self.socket, "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(
            ["redis-server", *map(str, options), "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _answers(self):
        with contextlib.suppress(redis.ConnectionError):
            return self.client.ping()
        return False


@contextlib.contextmanager
def run_redis():
    """Give a server that runs, in a folder with a short name: names of sockets have a limit."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs the program redis-server (Debian's package of this name)")
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
