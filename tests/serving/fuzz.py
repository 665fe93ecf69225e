"""Fuzzing: requests made from the server's own description of its interface, and bytes that are hardly requests."""

import contextlib
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable

from tests.serving.figures import Figure, Part, none_of, plain
from tests.serving.raw import raw_requests
from tests.serving.served import Served, serve

__all__ = ["run_fuzz"]

_TIMEOUT_S = 150
_MAX_SHOWN = 5
_AT_ONCE = 16  # raw requests
_ROUND = 100  # cases of a route at a time
_SILENT_S = 1.0  # of a server that waits for the rest of a raw request
_LATER = re.compile(rb"HTTP/1\.[01] (\d{3})")


def run_fuzz(workspace: Path, *, num_cases: int, random_seed: int = 0) -> Part:
    """Send cases made from the OpenAPI description, half of which fit it, then the raw ones."""
    with serve(workspace) as served:
        statuses, failed = _send_cases(served, num_cases, random_seed)
        raw, raw_failed = _send_raw(served.port)
        is_alive = requests.get(f"http://127.0.0.1:{served.port}/livez", timeout=_TIMEOUT_S).status_code == 200
    figures = [
        plain("cases from the description", f"{statuses.total():,}"),
        plain("their answers", _shown(statuses)),
        none_of("of them 5xx or without an answer", len(failed)),
        plain("raw requests", f"{raw.total():,}"),
        plain("their answers (0: closed without one)", _shown(raw)),
        none_of("of them 5xx", len(raw_failed)),
        Figure(name="alive after that", value="yes" if is_alive else "no", target="yes", is_met=is_alive),
    ]
    about = (
        "Requests that schemathesis makes from `/openapi.json`, for each route as many that fit their schema as that "
        "do not; then requests as bytes: heads, lengths, chunks, paths and bodies that no client library would send."
    )
    return Part(title="Fuzzing", about=about, figures=tuple(figures), notes=tuple([*failed, *raw_failed][:_MAX_SHOWN]))


def _send_cases(served: Served, num_cases: int, random_seed: int) -> tuple[Counter[int], list[str]]:
    import schemathesis
    from schemathesis import GenerationMode

    address = f"http://127.0.0.1:{served.port}"
    session, statuses, failed = requests.Session(), Counter[int](), list[str]()
    session.trust_env = False
    schema = schemathesis.openapi.from_dict(requests.get(f"{address}/openapi.json", timeout=_TIMEOUT_S).json())
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

    def send(case: Any) -> None:
        status = _status_of(session, case, address)
        statuses[status] += 1
        if status >= 500 or status == 0:
            failed.append(f"{status}: {case.method} {case.formatted_path} {case.query!r} {case.body!r}"[:500])

    strategies = [operation.as_strategy(generation_mode=mode) for operation in operations for mode in modes]
    while strategies and statuses.total() < num_cases:
        quota = min(_ROUND, max(1, (num_cases - statuses.total()) // len(strategies)))
        # a route without input has one case, or none that does not fit, and is then left out
        strategies = [one for one in strategies if _send_each(one, send, quota, random_seed) >= quota]
        random_seed += 1
    return statuses, failed


def _send_each(strategy: Any, send: Any, quota: int, random_seed: int) -> int:
    """Return how many cases there were, at most `quota`."""
    num_sent = 0

    @seed(random_seed)
    @settings(
        max_examples=quota,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: Any) -> None:
        nonlocal num_sent
        num_sent += 1
        send(case)

    with contextlib.suppress(Unsatisfiable):
        run()
    return num_sent


def _status_of(session: requests.Session, case: Any, address: str) -> int:
    """Return the status of a case's answer; 0 if there is none."""
    try:
        with session.request(**case.as_transport_kwargs(base_url=address), timeout=_TIMEOUT_S) as reply:
            return reply.status_code
    except requests.exceptions.InvalidHeader:  # the library refuses to send it; the raw requests hold such ones
        return 1
    except requests.RequestException:
        return 0


def _send_raw(port: int) -> tuple[Counter[int], list[str]]:
    statuses, failed = Counter[int](), list[str]()
    cases = list(raw_requests())
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # the server waits for the rest of many of them
        answers = pool.map(lambda case: _raw_statuses(port, case[1]), cases)
        for (name, _), found in zip(cases, answers, strict=True):
            statuses[found[0] if found else 0] += 1
            failed += [f"{status}: {name}" for status in found if status >= 500]
    return statuses, failed


def _raw_statuses(port: int, raw: bytes) -> list[int]:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # a server may close before all is sent
            connection.sendall(raw)
        connection.settimeout(_SILENT_S)
        with contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                answer += piece
    return [int(status) for status in _LATER.findall(answer)]


def _shown(statuses: Counter[int]) -> str:
    return ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
