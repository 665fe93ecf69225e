"""The recommendation chain of a server: it follows the items and the generation in use without a restart."""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from typing_extensions import override

from chains.recommendation import (
    Recommendation,
    RecommendationChain,
    RecommendationRequest,
    SimilarItems,
    SimilarRequest,
)

_LOOK_S = 0.1  # between two looks whether a file changed
_SETTLE_S = 0.05  # a file that did not change for so long is taken to be written
_PATIENCE_S = 1.0  # so long the request that saw a change waits for it; then it gets the list of before

_log = logging.getLogger(__name__)

Request = RecommendationRequest | dict[str, Any]


class LiveRecommendation(Runnable[Request, Recommendation]):
    """A recommendation chain that is built anew beside the one that answers whenever what it is made of changed.

    The new one takes its place between two requests. One that cannot be built is logged and refused, and the one
    before goes on.

    Args:
        build: makes the chain; it is given the one before, if there is one.
        stamp: returns what changes whenever the chain must be built anew; it is asked often, so it must be quick.
    """

    def __init__(
        self, build: Callable[[RecommendationChain | None], RecommendationChain], stamp: Callable[[], Hashable]
    ) -> None:
        self.name = "recommendation"
        self._build = build
        self._find_stamp = stamp
        self._stamp = stamp()
        self._chain = build(None)
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._building: threading.Thread | None = None

    def current(self) -> RecommendationChain:
        """Return the chain to ask now; where something changed a moment ago, that may be the one before."""
        building = None
        with self._lock:
            if self._building is None and time.monotonic() - self._looked >= _LOOK_S:
                self._looked = time.monotonic()
                if self._find_stamp() != self._stamp:
                    building = self._building = threading.Thread(target=self._renew, name="recommendation", daemon=True)
                    building.start()
        if building is not None:
            building.join(_PATIENCE_S)
        return self._chain

    def settle(self) -> None:
        """Return when what changed before this call is in use, or was refused."""
        while True:
            with self._lock:
                building = self._building
            if building is not None:
                building.join()
            elif self._find_stamp() == self._stamp:
                return
            else:
                time.sleep(_SETTLE_S)
                self.current()

    def _renew(self) -> None:
        stamp = self._find_stamp()
        try:
            while (later := self._find_stamp_later()) != stamp:
                stamp = later
            self._chain = self._build(self._chain)
        except Exception:
            _log.exception("what changed cannot be used; lists go on as before")
        finally:
            self._stamp = stamp
            with self._lock:
                self._building = None

    def _find_stamp_later(self) -> Hashable:
        time.sleep(_SETTLE_S)
        return self._find_stamp()

    @override
    def invoke(self, input: Request, config: RunnableConfig | None = None, **kwargs: Any) -> Recommendation:
        return self.current().invoke(input, config)

    @override
    def batch(
        self,
        inputs: list[Request],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Recommendation]:
        return self.current().batch(inputs, config, return_exceptions=return_exceptions)

    @override
    async def abatch(
        self,
        inputs: list[Request],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Recommendation]:
        return await run_in_executor(None, lambda: self.batch(inputs, config, return_exceptions=return_exceptions))

    def find_similar(self, request: SimilarRequest | dict[str, Any]) -> SimilarItems:
        """Return the items most like one; see `RecommendationChain.find_similar`."""
        return self.current().find_similar(request)
