"""Routes of the web page: its files, from a fixed list, and the interface's documentation."""

import functools
import json
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apps.server.problems import ProblemError

_WEB = Path(__file__).parent.parent / "web"
_SCRIPTS = (
    *("app", "alerts", "charts", "chat", "feed", "learning", "monitoring", "page", "recommendation", "server", "staff"),
    *("trends", "turns", "words"),
)
_STATIC = {f"{name}.js": "text/javascript" for name in _SCRIPTS} | {
    "words.en.json": "application/json",
    "words.zh.json": "application/json",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_FRESH = {"Cache-Control": "no-cache"}  # browsers ask each time, so that a new version shows at once

router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
def show_page() -> HTMLResponse:
    """Return the web page."""
    return HTMLResponse((_WEB / "index.html").read_text("utf-8"), headers=_FRESH)


@router.get("/static/{name}")
def send_static(name: str) -> Response:
    """Return one of the page's files; the name is looked up and never used as a path."""
    if name not in _STATIC:
        raise ProblemError(404, "There is no such file.")
    return Response((_WEB / name).read_bytes(), media_type=_STATIC[name], headers=_FRESH)


@router.get("/docs", response_class=HTMLResponse)
def show_docs(request: Request) -> HTMLResponse:
    """Return the interface as a page without scripts: the usual viewers load theirs from elsewhere."""
    return HTMLResponse(_render_docs(request.app), headers=_FRESH)


@functools.lru_cache(maxsize=1)  # the page is the same for everybody, needs no key, and takes 15 ms to make
def _render_docs(app: FastAPI) -> str:
    environment = Environment(loader=FileSystemLoader(_WEB), autoescape=True, undefined=StrictUndefined)
    environment.filters["tojson_plain"] = functools.partial(json.dumps, ensure_ascii=False)
    return environment.get_template("docs.html").render(schema=app.openapi())
