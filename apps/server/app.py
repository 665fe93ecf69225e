"""The application: `create_app(settings)` puts routes, limits and state together."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from apps.server import health, pages, routes
from apps.server.admission import Admission
from apps.server.chains import Chains
from apps.server.edge import BodyMiddleware, EdgeMiddleware
from apps.server.problems import add_problem_handlers
from apps.server.serving import Serving
from apps.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings, *, chains: Chains | None = None, admission: Admission | None = None) -> FastAPI:
    """Return the HTTP service of a workspace; it builds its chains when it is started.

    Args:
        settings: of the workspace to serve.
        chains: served instead of those that the settings describe.
        admission: how many model calls run and wait; the default suits two processor cores.
    """
    serving = Serving(settings, chains=chains, admission=admission)

    @contextlib.asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        await serving.start()
        yield
        await serving.stop()

    app = FastAPI(
        title="TuneChain",
        summary="Customer service, opinion monitoring and recommendation with small local models",
        version="1",
        lifespan=run,
        docs_url=None,  # the built-in viewers load scripts from another host; `pages` has one that loads none
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.serving = serving
    app.include_router(routes.router, prefix="/v1")
    app.include_router(routes.router, include_in_schema=False)
    app.include_router(health.router)
    app.include_router(pages.router)
    add_problem_handlers(app)
    app.add_middleware(BodyMiddleware)
    app.add_middleware(EdgeMiddleware)  # the last one added is the first one passed
    return app
