"""The HTTP server killed while customers write: what was acknowledged is there, once, after the restart.

Run: python -m benchmarks.server_kills [--kills 100] [--out docs/benchmarks/server_kills.md]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import processor
from tests.serving.customers import count_faults

NUM_CUSTOMERS = 4
_SERVER = """
import sys
import uuid
from pathlib import Path

import uvicorn
from langchain_core.runnables import RunnableLambda

from apps.server.app import create_app
from apps.applications import Applications
from apps.settings import load_settings
from chains.customer_service import ServiceReply

def answer(request):
    return ServiceReply(text=f"{request.text} / {uuid.uuid4()}", route="template", reason="")

app = create_app(load_settings(Path(sys.argv[1])), applications=Applications(customer_service=RunnableLambda(answer)))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


class Customer:
    """Sends one message after the other until it is told to stop, and notes what was acknowledged."""

    def __init__(self, address: str, name: int) -> None:
        self.path = f"{address}/v1/conversations/{uuid.UUID(int=name + 1)}"
        self.acknowledged: dict[str, str] = {}  # message id -> text of its reply
        self.unfinished: str | None = None
        self._number = 0

    def talk(self, stop: threading.Event) -> None:
        """Send until `stop`; a message without an answer is sent again, with its id, before any other."""
        while not stop.is_set():
            message = self.unfinished or f"m{self._number}"
            if self.unfinished is None:
                self._number += 1
            self.unfinished = message
            try:
                reply = _post(f"{self.path}/messages", {"message_id": message, "text": f"question {message}"})
            except (urllib.error.URLError, OSError, json.JSONDecodeError):
                stop.wait(0.05)
                continue
            self.acknowledged[message] = reply["text"]
            self.unfinished = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        counts = _kill_again_and_again(Path(temporary), arguments.kills)
    lines = [
        "# The server killed while customers write",
        "",
        f"`python -m benchmarks.server_kills --kills {arguments.kills}`, {os.cpu_count()} cores, {processor()}, "
        f"{datetime.now(UTC):%d %B %Y}, seed 0, {(time.perf_counter() - started) / 60:.1f} minutes.",
        "",
        f"{NUM_CUSTOMERS} customers write over HTTP without a pause; the server process gets SIGKILL at a random "
        "moment and is started again on the same workspace. Every reply holds a random number, so that one made twice "
        "shows. A kill says nothing of a power cut.",
        "",
        "| kills | acknowledged messages | lost | changed | doubled | out of order |",
        "|---|---|---|---|---|---|",
        f"| {arguments.kills} | {counts['acknowledged']:,} | {counts['lost']} | {counts['changed']} | "
        f"{counts['doubled']} | {counts['out of order']} |",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    if counts["lost"] or counts["changed"] or counts["doubled"] or counts["out of order"]:
        sys.exit(1)


def _kill_again_and_again(folder: Path, num_kills: int) -> Counter[str]:
    (folder / "tunechain.toml").write_text("[server]\n", encoding="utf-8")
    (folder / "customer_service" / "knowledge").mkdir(parents=True)
    (folder / "server.py").write_text(_SERVER, encoding="utf-8")
    generator, port = random.Random(0), 18_431
    customers = [Customer(f"http://127.0.0.1:{port}", name) for name in range(NUM_CUSTOMERS)]
    for number in range(num_kills):
        server = _start(folder, port)
        stop = threading.Event()
        threads = [threading.Thread(target=customer.talk, args=(stop,)) for customer in customers]
        for thread in threads:
            thread.start()
        time.sleep(generator.uniform(0.2, 1.2))
        server.send_signal(signal.SIGKILL)
        server.wait()
        stop.set()
        for thread in threads:
            thread.join()
        print(f"kill {number + 1} of {num_kills}", file=sys.stderr)
    server = _start(folder, port)
    try:
        return _check(customers)
    finally:
        server.kill()


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}  # noqa: TID251  # nothing of ours is read from it
    command = [sys.executable, str(folder / "server.py"), str(folder), str(port)]
    server = subprocess.Popen(command, env=environment)  # noqa: S603  # our own program
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1):  # loopback
                return server
        except OSError:
            time.sleep(0.05)
    msg = "the server does not start"
    raise RuntimeError(msg)


def _check(customers: Sequence[Customer]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for customer in customers:
        turns = _all_turns(customer.path)
        counts += count_faults(customer.acknowledged, turns)
        asked = [int(turn["id"].removeprefix("m")) for turn in turns if turn["speaker"] == "customer"]
        counts["out of order"] += asked != sorted(asked)
    return counts


def _all_turns(path: str) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    while True:
        with urllib.request.urlopen(f"{path}?limit=200&skip={len(turns)}", timeout=30) as reply:  # noqa: S310
            page = json.load(reply)["turns"]
        if not page:
            return turns
        turns = page + turns


def _post(address: str, body: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  # loopback
        address, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        answer: dict[str, Any] = json.load(reply)
    return answer


if __name__ == "__main__":
    main()
