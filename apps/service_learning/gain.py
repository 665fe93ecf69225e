"""What learning gained: how many of the latest requests the service answers, before and after."""

import json
from collections.abc import Sequence

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field

from apps.errors import NotBuiltError
from apps.service_learning.database import put_fact
from apps.service_learning.state import LearningState
from apps.settings import Settings
from apps.wiring import build_customer_service
from chains.customer_service import ServiceReply, ServiceRequest
from chains.customer_service.learning import LoggedRequest

_MOST = 500  # requests that are asked; each costs an answer
_BEFORE = "answered_before"


class Answered(BaseModel):
    """Shares of the requests after the cut in time, each in [0, 1]."""

    model_config = ConfigDict(frozen=True)

    num_requests: int
    approved: float = Field(description="Got an approved answer: of an intent, or of a known question.")
    quoted: float = Field(description="Got an answer from the knowledge base.")


class Gain(BaseModel):
    """What the service did with the latest requests before anything was learnt, and does now."""

    model_config = ConfigDict(frozen=True)

    before: Answered | None = Field(description="None where no service was built then.")
    after: Answered | None = Field(description="None where no service is built, or no request was held back.")


def measure_answered(
    chain: Runnable[ServiceRequest, ServiceReply], requests: Sequence[LoggedRequest]
) -> Answered | None:
    """Return what a service answers of requests; of many, as many as can be asked, spread over all."""
    step = max(1, -(-len(requests) // _MOST))
    asked = requests[::step]
    if not asked:
        return None
    routes = [chain.invoke(ServiceRequest(text=request.text)).route for request in asked]
    return Answered(
        num_requests=len(asked),
        approved=sum(route in ("template", "curated") for route in routes) / len(asked),
        quoted=sum(route == "answer" for route in routes) / len(asked),
    )


def note_before(settings: Settings, state: LearningState) -> None:
    """Keep what the service answers of the latest requests before anything that was learnt is in it."""
    if state.has_published() or not (settings.models_folder / "intent").exists():
        return
    answered = measure_answered(build_customer_service(settings), state.later_requests())
    if answered is not None:
        with state.database.transaction() as database:
            put_fact(database, _BEFORE, answered.model_dump_json())


def read_gain(settings: Settings, state: LearningState) -> Gain:
    """Return what learning gained, as the workspace is now.

    Raises:
        NotBuiltError: if the workspace was never trained.
    """
    if not (settings.models_folder / "intent").exists():
        msg = f"there is no trained service in {settings.workspace} yet; run: tunechain quickstart {settings.workspace}"
        raise NotBuiltError(msg)
    kept = state.database.fact(_BEFORE)
    return Gain(
        before=None if kept is None else Answered.model_validate(json.loads(kept)),
        after=measure_answered(build_customer_service(settings), state.later_requests()),
    )
