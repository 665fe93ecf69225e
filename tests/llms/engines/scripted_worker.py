"""A worker in an engine's place: every request gets one token and then waits until it is cancelled."""

import os
import sys
import threading
import time

from llms.engines.process_backend.messages import PULSE_S, decode, encode, event_message
from llms.engines.requests import TokenEvent
from llms.processes.pipes import receive, send

NEEDS_MEMORY = 13  # a prompt that begins with this token takes a hundred megabytes
BREAKS = 14  # ... with this one, ends the process


def main() -> None:
    writing = threading.Lock()
    held = []

    def tell(message):
        with writing:
            send(1, encode(message))

    def pulse():
        while True:
            tell({"is": "pulse", "num_steps": 1})
            time.sleep(PULSE_S)

    receive(lambda size: os.read(0, size), max_bytes=sys.maxsize)
    facts = {"name": "scripted", "reason": "", "context_tokens": 100, "end_ids": [], "max_running": 4, "max_waiting": 4}
    tell({"is": "ready", **facts})
    threading.Thread(target=pulse, daemon=True).start()
    while True:
        try:
            message = decode(receive(lambda size: os.read(0, size), max_bytes=sys.maxsize))
        except EOFError:
            os._exit(0)
        match message["do"]:
            case "generate":
                first = message["prompt_ids"][0]
                if first == BREAKS:
                    os._exit(7)
                if first == NEEDS_MEMORY:
                    held.append(b"x" * 100_000_000)
                tell(event_message(message["number"], TokenEvent(ids=(first,))))
            case "cancel":
                tell(event_message(message["number"], TokenEvent(finish_reason="cancelled")))
