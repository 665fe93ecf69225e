"""Rate limit: a token bucket per key."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    """Lets a name make a burst of requests, and after that so many a minute.

    Args:
        per_minute: requests that come back in a minute.
        burst: requests that may come at once.
        max_names: how many are remembered; of more, the one that asked longest ago begins anew.
        clock: seconds, never going back.

    Example:
        >>> seconds = iter([0.0, 0.0, 0.0, 1.0])
        >>> limiter = RateLimiter(per_minute=60, burst=2, clock=lambda: next(seconds))
        >>> [limiter.take("anna") for _ in range(4)]
        [0, 0, 1, 0]
    """

    def __init__(
        self, *, per_minute: float, burst: int, max_names: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._max_names = max_names
        self._buckets: dict[str, _Bucket] = {}  # the name that asked last stands last

    def take(self, name: str) -> int:
        """Return 0 if the request may pass, else after how many seconds the next one will."""
        now = self._clock()
        bucket = self._buckets.pop(name, None) or _Bucket(float(self._burst), now)
        self._buckets[name] = bucket
        if len(self._buckets) > self._max_names:
            del self._buckets[next(iter(self._buckets))]
        bucket.tokens = min(float(self._burst), bucket.tokens + (now - bucket.filled_at) * self._per_second)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return math.ceil((1 - bucket.tokens) / self._per_second)
        bucket.tokens -= 1
        return 0
