"""SIGTERM while customers write: what was accepted is answered and kept, and the server ends in time."""

import asyncio
import random
import signal
import time
from collections import Counter
from pathlib import Path

from tests.serving.client import NO_REPLY, NOT_CONNECTED
from tests.serving.customers import Customer, compare, failures
from tests.serving.figures import Part, at_most, none_of, percentile, plain
from tests.serving.served import Served, serve

__all__ = ["run_sigterms"]

_LIMIT_S = 30.0
_NUM_CLIENTS = 8


def run_sigterms(workspace: Path, *, count: int, seed: int = 0) -> Part:
    """End a server under load so many times, each time starting it again, then compare what is stored."""
    source = random.Random(seed)
    customers = [Customer(number, seed=seed) for number in range(_NUM_CLIENTS)]
    seconds: list[float] = []
    for _ in range(count):
        served = Served(workspace)
        try:
            served.wait_until_ready()
            seconds.append(asyncio.run(_end_under_load(served, customers, source.uniform(0.2, 1.5))))
        finally:
            served.end()
    with serve(workspace) as served:
        counts = asyncio.run(compare(served.port, customers))
    outcomes = sum((customer.outcomes for customer in customers), Counter[int]())
    failed = failures(customers)
    figures = (
        plain("signals", f"{count:,}"),
        plain("requests answered", f"{outcomes[200]:,}"),
        plain(
            "refused with 429 or 503, or not accepted", f"{outcomes[429] + outcomes[503] + outcomes[NOT_CONNECTED]:,}"
        ),
        none_of("accepted, and then without an answer", failed.pop(NO_REPLY, 0)),
        none_of("other answers of 5xx", failed.total() - failed[503]),
        none_of("acknowledged messages lost", counts["lost"]),
        none_of("changed or doubled", counts["changed"] + counts["doubled"]),
        plain("seconds from the signal to the end, median", f"{percentile(seconds, 0.5):.1f} s"),
        at_most("the same, the longest", max(seconds), _LIMIT_S, " s"),
    )
    about = (
        f"{_NUM_CLIENTS} customers write without a pause, by calls and streams, when the server gets SIGTERM "
        "at a random moment; they go on until nobody listens any more. It is started again on the same "
        "workspace."
    )
    return Part(title="SIGTERM under load", about=about, figures=figures)


async def _end_under_load(served: Served, customers: list[Customer], load_s: float) -> float:
    """Return the seconds from the signal to the end of the process."""
    is_over = asyncio.Event()

    async def write(customer: Customer) -> None:
        while not is_over.is_set():
            reply = await customer.write(served.port, stream=customer.choose(plain=1, stream=1) == "stream")
            if reply.status in (NOT_CONNECTED, 429, 503):
                await asyncio.sleep(0.05)  # so that the server is busy when the signal comes

    writing = [asyncio.create_task(write(customer)) for customer in customers]
    await asyncio.sleep(load_s)
    served.send(signal.SIGTERM)
    sent_at = time.monotonic()
    await asyncio.to_thread(served.wait, 2 * _LIMIT_S)
    ended_s = time.monotonic() - sent_at
    is_over.set()
    await asyncio.gather(*writing)
    return ended_s
