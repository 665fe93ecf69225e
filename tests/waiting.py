"""Waiting for a condition, and seconds of computing: what a busy machine makes slower, but never wrong."""

import asyncio
import time

LIMIT_S = 60  # reached only where what is waited for never comes


def wait_until(condition):
    """Return once `condition` holds; another thread or process brings it about."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


async def wait_for(condition):
    """Return once `condition` holds, letting the event loop go on meanwhile."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.005)


def cpu_seconds(work):
    """Return how long this process computes for `work`, whatever else the machine does."""
    started = time.process_time()
    work()
    return time.process_time() - started
