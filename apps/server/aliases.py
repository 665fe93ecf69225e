"""Deprecated addresses, each served by the handler of the address that takes its place."""

from collections.abc import Iterable, Mapping

from fastapi import APIRouter
from fastapi.routing import APIRoute

ALIASES: Mapping[str, str] = {
    "/ask": "/v1/ask",
    "/classify": "/v1/classify",
    "/posts": "/v1/posts",
    "/alerts": "/v1/alerts",
    "/recommend": "/v1/recommend",
    "/health": "/readyz",
}


def alias_router(routers: Iterable[tuple[str, APIRouter]]) -> APIRouter:
    """Return the routes of all deprecated addresses.

    Args:
        routers: with the prefix under which each is mounted; they hold the handlers.
    """
    handlers = {
        prefix + route.path: route
        for prefix, router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
    }
    aliases = APIRouter()
    for alias, address in ALIASES.items():
        route = handlers[address]
        aliases.add_api_route(
            alias,
            route.endpoint,
            methods=sorted(route.methods or ()),
            response_model=route.response_model,
            responses=route.responses,
            dependencies=route.dependencies,
            tags=route.tags,
            summary=f"The same as {address}",
            description=f"Deprecated: use {address}.",
            deprecated=True,
        )
    return aliases
