"""The ASGI application: `create_app(settings)` joins state, routes and middleware."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from apps.applications import Applications
from apps.keys import KeyStore
from apps.log_records import redact_logs
from apps.server import (
    conversation_routes,
    health,
    learning_routes,
    monitoring_routes,
    pages,
    recommendation_routes,
    routes,
)
from apps.server.admission import Admission
from apps.server.aliases import alias_router
from apps.server.auth import AccessMiddleware
from apps.server.middleware import BodyMiddleware, EdgeMiddleware, HeadMiddleware, JsonMiddleware, TimeMiddleware
from apps.server.openai_api import routes as openai_routes
from apps.server.openai_api.turns import TurnMemory
from apps.server.problems import add_problem_handlers
from apps.server.rate_limit import RateLimiter
from apps.server.state import Server
from apps.settings import Settings, hold_back_tracing

# for the description of the interface; the key itself is checked before any route, by `AccessMiddleware`
_SHOWS_KEY = [Depends(HTTPBearer(auto_error=False, description="A key of `tunechain keys add`."))]

_ALIASES = alias_router([("/v1", routes.router), ("", health.router)])  # once: routes take longer than all else here


def create_app(
    settings: Settings, *, applications: Applications | None = None, admission: Admission | None = None
) -> FastAPI:
    """Return the HTTP service of a workspace and its tenants; it builds its chains when it is started.

    Args:
        settings: of the workspace to serve.
        applications: served instead of those that the settings describe.
        admission: how many model calls run and wait; the default suits two processor cores.
    """
    hold_back_tracing(settings)
    redact_logs()  # also where another program than ours serves it
    server = Server(settings, applications=applications, admission=admission)
    keys = KeyStore.of(settings)
    limiter = RateLimiter(per_minute=settings.server.requests_per_minute, burst=settings.server.burst)

    @contextlib.asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        await server.start()
        yield
        await server.stop()
        keys.close()

    app = FastAPI(
        title="TuneChain",
        summary="Customer service, opinion monitoring and recommendation with small local models",
        version="1",
        lifespan=run,
        docs_url=None,  # the built-in viewers load scripts from another host; `pages` has one that loads none
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.server = server
    app.state.turns = TurnMemory()
    for router in (
        routes.router,
        monitoring_routes.router,
        recommendation_routes.router,
        openai_routes.router,
        conversation_routes.router,
        learning_routes.router,
    ):
        app.include_router(router, prefix="/v1", dependencies=_SHOWS_KEY)
    app.include_router(health.router)
    app.include_router(_ALIASES)
    app.include_router(pages.router)
    add_problem_handlers(app)
    # passed from the last one to the first: headers and log, stated size, key and rate, body, what it says, then time
    limits = settings.server
    app.add_middleware(TimeMiddleware, deadline_s=limits.deadline_s, send_timeout_s=limits.send_timeout_s)
    app.add_middleware(JsonMiddleware)
    app.add_middleware(BodyMiddleware)
    tenants = frozenset(name for name, _ in settings.tenants)
    app.add_middleware(AccessMiddleware, keys=keys, limiter=limiter, tenants=tenants)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(EdgeMiddleware)
    return app
