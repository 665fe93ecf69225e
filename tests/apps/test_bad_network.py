"""Messages over a network that delays, cuts up and breaks off: each is there once, in order, with one reply."""

import contextlib
import random
import socket
import threading
import time
import uuid

import httpx
import pytest

from apps.applications import Applications
from apps.server.app import create_app
from tests.apps.live_server import serve_here
from tests.apps.service_worlds import make_service_chain, write_service_workspace


class BadNetwork:
    """A port that leads to another one: slowly, in pieces, and often not to the end.

    Args:
        target: the other port.
        broken_share: how many of the connections break off.
        seed: of chance.
    """

    def __init__(self, target, *, broken_share, seed):
        self._target = target
        self._broken_share = broken_share
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.num_broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                is_broken = self._random.random() < self._broken_share
                # of the request or of the answer, whose bytes come after it
                ways = [(client, server), (server, client)]
                broken = self._random.randrange(2) if is_broken else None
                self.num_broken += is_broken
                for number, (source, sink) in enumerate(ways):
                    limit = self._random.randrange(1, 400) if number == broken else None
                    threading.Thread(target=self._carry, args=(source, sink, limit), daemon=True).start()

    def _carry(self, source, sink, limit):
        carried = 0
        with contextlib.suppress(OSError):
            while part := source.recv(self._random.randrange(1, 200)):
                part = part if limit is None else part[: limit - carried]
                time.sleep(self._random.random() / 2_000)
                sink.sendall(part)
                carried += len(part)
                if limit is not None and carried >= limit:
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def send_until_answered(url, body):
    """Return the reply; a client that hears nothing whole sends the same message again."""
    for _ in range(100):
        with contextlib.suppress(httpx.TransportError):
            reply = httpx.post(url, json=body, timeout=30)
            assert reply.status_code == 200, reply.text
            return reply.json()
    raise AssertionError


@pytest.mark.parametrize("num_messages", [15, pytest.param(400, marks=pytest.mark.nightly)])
def test_a_bad_network_loses_and_doubles_no_message(tmp_path, num_messages):
    settings = write_service_workspace(tmp_path)
    app = create_app(settings, applications=Applications(customer_service=make_service_chain(settings)))
    with serve_here(app) as address:
        network = BadNetwork(int(address.rpartition(":")[2]), broken_share=0.5, seed=1)
        conversation = f"/v1/conversations/{uuid.uuid4()}"
        texts = [f"How full should the battery be? ({number})" for number in range(num_messages)]
        with contextlib.closing(network):
            for number, text in enumerate(texts):
                url = f"http://127.0.0.1:{network.port}{conversation}/messages"
                assert send_until_answered(url, {"message_id": f"m{number}", "text": text})["text"]
        assert network.num_broken > num_messages / 4
        turns, skip = [], 0
        while page := httpx.get(f"{address}{conversation}", params={"limit": 200, "skip": skip}).json()["turns"]:
            turns, skip = page + turns, skip + 200
    assert [turn["speaker"] for turn in turns] == ["customer", "assistant"] * num_messages
    assert [turn["text"] for turn in turns[::2]] == texts
